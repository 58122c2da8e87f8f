// Lucene as one of the contenders; see child in ../peers.go.
//
// Lucene DOCS QUERIES DIR WAY. Ways to ask for a term in title, heading and text:
//   fields  the best of three fields, title and heading boosted by 2
//   bm25f   BM25F over three fields of those weights, the same formula as ours
//   one     in a single field where title and heading stand twice
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import org.apache.lucene.analysis.core.WhitespaceAnalyzer;
import org.apache.lucene.document.*;
import org.apache.lucene.index.*;
import org.apache.lucene.search.*;
import org.apache.lucene.search.similarities.BM25Similarity;
import org.apache.lucene.store.*;
import org.apache.lucene.util.BytesRef;

public class Lucene {
  static final int K = 20;

  static Query term(String way, String t) {
    switch (way) {
      case "one":
        return new TermQuery(new Term("all", t));
      case "bm25f":
        return new BM25FQuery.Builder(1.5f, .75f).addField("title", 2).addField("heading", 2).addField("text", 1)
            .addTerm(new BytesRef(t)).build();
      default:
        return new DisjunctionMaxQuery(Arrays.asList(
            new BoostQuery(new TermQuery(new Term("title", t)), 2),
            new BoostQuery(new TermQuery(new Term("heading", t)), 2),
            new TermQuery(new Term("text", t))), 0);
    }
  }

  static TopDocs search(IndexSearcher s, String way, String line) throws IOException {
    BooleanQuery.Builder b = new BooleanQuery.Builder();
    for (String t : line.split(" ")) b.add(term(way, t), BooleanClause.Occur.SHOULD);
    // It need not count: as soon as it has K it may skip.
    TopScoreDocCollector c = TopScoreDocCollector.create(K, null, K);
    s.search(b.build(), c);
    return c.topDocs();
  }

  public static void main(String[] a) throws Exception {
    String way = a[3];
    List<String> queries = Files.readAllLines(Paths.get(a[1]));
    Directory dir = new MMapDirectory(Paths.get(a[2]));
    IndexWriterConfig config = new IndexWriterConfig(new WhitespaceAnalyzer());
    config.setSimilarity(new BM25Similarity(1.5f, .75f));
    FieldType terms = new FieldType();
    terms.setTokenized(true);
    terms.setIndexOptions(IndexOptions.DOCS_AND_FREQS);
    terms.freeze();
    if (!DirectoryReader.indexExists(dir)) try (IndexWriter w = new IndexWriter(dir, config); BufferedReader in = Files.newBufferedReader(Paths.get(a[0]))) {
      List<Term> dead = new ArrayList<>();
      int n = 0;
      for (String line; (line = in.readLine()) != null; n++) {
        String[] f = line.split("\t", -1);
        Document d = new Document();
        String id = Integer.toString(n);
        d.add(new StringField("id", id, Field.Store.YES));
        if (way.equals("one")) {
          d.add(new Field("all", f[1] + " " + f[1] + " " + f[2] + " " + f[2] + " " + f[3], terms));
        } else {
          d.add(new Field("title", f[1], terms));
          d.add(new Field("heading", f[2], terms));
          d.add(new Field("text", f[3], terms));
        }
        w.addDocument(d);
        if (f[0].equals("dead")) dead.add(new Term("id", id));
      }
      w.commit();
      w.deleteDocuments(dead.toArray(new Term[0]));
      w.commit();
    }
    IndexReader reader = DirectoryReader.open(dir);
    IndexSearcher searcher = new IndexSearcher(reader);
    searcher.setSimilarity(new BM25Similarity(1.5f, .75f));
    searcher.setQueryCache(null);
    // The compiler needs thousands of queries before it is done.
    int warm = 0;
    for (; warm < 4000; warm++) search(searcher, way, queries.get(warm % queries.size()));
    PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, "UTF-8");
    out.printf("ready Lucene %s, Java %s, %d segments, %d of %d documents live, warmed up by %d queries%n",
        org.apache.lucene.util.Version.LATEST, System.getProperty("java.version"), reader.leaves().size(), reader.numDocs(),
        reader.maxDoc(), warm);
    out.flush();
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    while (in.readLine() != null) {
      TopDocs[] found = new TopDocs[queries.size()];
      double[] ms = new double[queries.size()];
      for (int i = 0; i < ms.length; i++) {
        long t = System.nanoTime();
        found[i] = search(searcher, way, queries.get(i));
        ms[i] = (System.nanoTime() - t) / 1e6;
      }
      StringBuilder ids = new StringBuilder();
      for (TopDocs top : found) {
        ids.append(ids.length() == 0 ? "[" : ",[");
        for (int j = 0; j < top.scoreDocs.length; j++)
          ids.append(j == 0 ? "" : ",").append(searcher.doc(top.scoreDocs[j].doc).get("id"));
        ids.append("]");
      }
      out.printf("{\"ms\":%s,\"ids\":[%s]}%n", Arrays.toString(ms), ids);
      out.flush();
    }
  }
}
