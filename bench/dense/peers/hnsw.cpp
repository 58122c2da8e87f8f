// hnswlib as one of the contenders; see child in ../peers.go.
//
// hnsw BASE QUERIES DIM M EF_CONSTRUCTION EF CACHE
// M is the number of links, as in FAISS's HNSW<M>; the graph is kept in the
// file CACHE.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "hnswlib/hnswlib.h"

static std::vector<float> read(const char *path) {
  std::ifstream f(path, std::ios::binary | std::ios::ate);
  std::vector<float> v(f.tellg() / sizeof(float));
  f.seekg(0);
  f.read(reinterpret_cast<char *>(v.data()), v.size() * sizeof(float));
  return v;
}

int main(int argc, char **argv) {
  if (argc != 8) return 2;
  const size_t dim = atol(argv[3]);
  const std::string cache = argv[7];
  hnswlib::InnerProductSpace space(dim);
  std::vector<float> queries = read(argv[2]);
  hnswlib::HierarchicalNSW<float> *graph;
  if (std::ifstream(cache).good()) {
    graph = new hnswlib::HierarchicalNSW<float>(&space, cache);
  } else {
    std::vector<float> base = read(argv[1]);
    const size_t n = base.size() / dim;
    graph = new hnswlib::HierarchicalNSW<float>(&space, n, atol(argv[4]), atol(argv[5]));
    graph->addPoint(base.data(), 0);
    std::vector<std::thread> workers;
    for (size_t w = 0; w < 2; w++)
      workers.emplace_back([&, w] {
        for (size_t i = 1 + w; i < n; i += 2) graph->addPoint(base.data() + i * dim, i);
      });
    for (auto &w : workers) w.join();
    graph->saveIndex(cache + ".tmp");
    std::rename((cache + ".tmp").c_str(), cache.c_str());
  }
  graph->setEf(atol(argv[6]));
  std::cout << "ready hnswlib from the system's headers, M " << argv[4] << ", compiled here with -O3 -march=native" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::string ms, ids;
    for (size_t i = 0; i * dim < queries.size(); i++) {
      auto t = std::chrono::steady_clock::now();
      auto found = graph->searchKnn(queries.data() + i * dim, 10);
      std::chrono::duration<double, std::milli> d = std::chrono::steady_clock::now() - t;
      ms += (i ? "," : "") + std::to_string(d.count());
      ids += i ? ",[" : "[";
      for (bool first = true; !found.empty(); found.pop(), first = false)
        ids += (first ? "" : ",") + std::to_string(found.top().second);
      ids += "]";
    }
    std::cout << "{\"ms\":[" << ms << "],\"ids\":[" << ids << "]}" << std::endl;
  }
}
