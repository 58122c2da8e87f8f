// Xapian as one of the contenders; see child in ../peers.go.
//
// xapian DOCS QUERIES DIR WAY: terms of title and heading count twice in one
// frequency and one length, so that BM25 is over what ours is over.
#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>
#include <xapian.h>

static std::vector<std::string> split(const std::string &s, char by) {
  std::vector<std::string> out;
  std::istringstream in(s);
  for (std::string part; std::getline(in, part, by);) out.push_back(part);
  return out;
}

int main(int, char **argv) {
  std::string line;
  if (!std::ifstream(std::string(argv[3]) + "/iamglass")) {
    Xapian::WritableDatabase db(argv[3], Xapian::DB_CREATE_OR_OVERWRITE);
    std::ifstream in(argv[1]);
    std::vector<Xapian::docid> gone;
    for (Xapian::docid id = 1; std::getline(in, line); id++) {
      auto f = split(line, '\t');
      std::map<std::string, int> count;
      for (int i = 1; i <= 3; i++)
        for (auto &t : split(f[i], ' ')) count[t] += i < 3 ? 2 : 1;
      Xapian::Document d;
      for (auto &c : count) d.add_term(c.first, c.second);
      db.replace_document(id, d);
      if (f[0] == "dead") gone.push_back(id);
    }
    db.commit();
    for (auto id : gone) db.delete_document(id);
    db.commit();
  }
  std::vector<std::string> queries;
  std::ifstream in(argv[2]);
  while (std::getline(in, line)) queries.push_back(line);
  Xapian::Database db(argv[3]);
  Xapian::Enquire enquire(db);
  enquire.set_weighting_scheme(Xapian::BM25Weight(1.5, 0, 1, .75, 0));
  auto search = [&](const std::string &q) {
    auto terms = split(q, ' ');
    enquire.set_query(Xapian::Query(Xapian::Query::OP_OR, terms.begin(), terms.end()));
    return enquire.get_mset(0, 20);
  };
  for (auto &q : queries) search(q);
  std::cout << "ready Xapian " << Xapian::version_string() << ", " << db.get_doccount() << " of " << db.get_lastdocid() << " documents live" << std::endl;
  while (std::getline(std::cin, line)) {
    std::ostringstream ms, ids;
    for (auto &q : queries) {
      auto t = std::chrono::steady_clock::now();
      auto found = search(q);
      double took = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - t).count();
      if (&q != &queries[0]) ms << ',', ids << ',';
      ms << took;
      ids << '[';
      for (auto i = found.begin(); i != found.end(); ++i) ids << (i == found.begin() ? "" : ",") << *i - 1;
      ids << ']';
    }
    std::cout << "{\"ms\":[" << ms.str() << "],\"ids\":[" << ids.str() << "]}" << std::endl;
  }
}
