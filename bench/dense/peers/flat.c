// The machine itself as one of the contenders; see child in ../peers.go.
//
// flat BASE QUERIES DIM scan COUNT: the first COUNT queries, every vector in
// float32, as a flat index compiled for this processor does it.
// flat BASE QUERIES DIM read BYTES: only reads that many bytes from
// memory, in one pass for each query. The best of two ways of reading counts:
// plain, and with lines asked for ahead.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

typedef float f8 __attribute__((vector_size(32), aligned(4)));
typedef uint64_t u4 __attribute__((vector_size(32)));

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec * 1e-6;
}

static void *map(const char *path, size_t *bytes) {
  struct stat st;
  int fd = open(path, O_RDONLY);
  if (fd < 0 || fstat(fd, &st)) exit(1);
  *bytes = st.st_size;
  return mmap(0, st.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
}

static float dot(const float *a, const float *b, long dim) {
  f8 s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
  long i = 0;
  for (; i + 32 <= dim; i += 32) {
    s0 += *(const f8 *)(a + i) * *(const f8 *)(b + i);
    s1 += *(const f8 *)(a + i + 8) * *(const f8 *)(b + i + 8);
    s2 += *(const f8 *)(a + i + 16) * *(const f8 *)(b + i + 16);
    s3 += *(const f8 *)(a + i + 24) * *(const f8 *)(b + i + 24);
  }
  f8 s = (s0 + s1) + (s2 + s3);
  float sum = 0;
  for (int j = 0; j < 8; j++) sum += s[j];
  for (; i < dim; i++) sum += a[i] * b[i];
  return sum;
}

static volatile uint64_t sink;

static void pass(const char *p, size_t bytes, int ahead) {
  u4 a = {0}, b = {0}, c = {0}, d = {0};
  for (size_t i = 0; i + 128 <= bytes; i += 128) {
    if (ahead) {
      __builtin_prefetch(p + i + 4096);
      __builtin_prefetch(p + i + 4160);
    }
    a ^= *(const u4 *)(p + i);
    b ^= *(const u4 *)(p + i + 32);
    c ^= *(const u4 *)(p + i + 64);
    d ^= *(const u4 *)(p + i + 96);
  }
  a ^= b ^ c ^ d;
  sink = a[0] ^ a[1] ^ a[2] ^ a[3];
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  long dim = atol(argv[3]);
  size_t qbytes, bbytes = 0;
  const float *q = map(argv[2], &qbytes), *base = 0;
  long nq = qbytes / 4 / dim, n = 0;
  char *buffer = 0;
  int reading = !strcmp(argv[4], "read");
  if (reading) {
    bbytes = atol(argv[5]);
    buffer = aligned_alloc(4096, (bbytes + 8191) / 4096 * 4096);
    memset(buffer, 1, bbytes);
  } else {
    base = map(argv[1], &bbytes);
    n = bbytes / 4 / dim;
    if (atol(argv[5]) < nq) nq = atol(argv[5]);
  }
  printf("ready compiled here with -O3 -march=native\n");
  fflush(stdout);
  double *ms = malloc(nq * sizeof *ms);
  int32_t *ids = malloc(nq * 10 * sizeof *ids);
  char line[64];
  for (int round = 0; fgets(line, sizeof line, stdin); round++) {
    for (long i = 0; i < nq; i++) {
      double t = now();
      if (reading) {
        pass(buffer, bbytes, round % 2);
      } else {
        float best[10];
        int32_t *id = ids + i * 10;
        for (int j = 0; j < 10; j++) best[j] = -2, id[j] = -1;
        for (long r = 0; r < n; r++) {
          float s = dot(q + i * dim, base + r * dim, dim);
          if (s <= best[9]) continue;
          int j = 9;
          for (; j > 0 && best[j - 1] < s; j--) best[j] = best[j - 1], id[j] = id[j - 1];
          best[j] = s;
          id[j] = r;
        }
      }
      ms[i] = now() - t;
    }
    printf("{\"ms\":[");
    for (long i = 0; i < nq; i++) printf(i ? ",%.6f" : "%.6f", ms[i]);
    printf("],\"ids\":[");
    for (long i = 0; i < nq && !reading; i++) {
      printf(i ? ",[" : "[");
      for (int j = 0; j < 10; j++) printf(j ? ",%d" : "%d", ids[i * 10 + j]);
      printf("]");
    }
    printf("]}\n");
    fflush(stdout);
  }
}
