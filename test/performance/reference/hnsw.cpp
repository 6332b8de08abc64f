// hnswlib without anything around it, told what to do by lines on its standard input: the benches divide by it.
//
//   load      reads the index file into a fresh index
//   search    searches for every probe once
//   quit
//
// Each answer is a line: milliseconds of this process's CPU, milliseconds by the clock, and a checksum of what was found.
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "hnswlib/hnswlib.h"

static double cpuMs() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static double clockMs() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: hnsw <index> <dimension> <probes> <k> <ef>\n");
    return 2;
  }
  const std::string path = argv[1];
  const size_t dimension = std::stoul(argv[2]);
  const size_t k = std::stoul(argv[4]);
  const size_t ef = std::stoul(argv[5]);
  std::ifstream file(argv[3], std::ios::binary | std::ios::ate);
  std::vector<float> probes(static_cast<size_t>(file.tellg()) / sizeof(float));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(probes.data()), probes.size() * sizeof(float));

  hnswlib::InnerProductSpace space(dimension);
  std::unique_ptr<hnswlib::HierarchicalNSW<float>> index;
  for (std::string line; std::getline(std::cin, line) && line != "quit";) {
    unsigned long checksum = 0;
    const double cpu = cpuMs();
    const double clock = clockMs();
    if (line == "load") {
      index.reset();
      index = std::make_unique<hnswlib::HierarchicalNSW<float>>(&space, path);
      index->setEf(ef);
      checksum = index->cur_element_count;
    } else {
      for (size_t at = 0; at + dimension <= probes.size(); at += dimension) {
        auto found = index->searchKnn(probes.data() + at, k);
        while (found.size() > 1) found.pop();
        checksum += found.top().second;
      }
    }
    std::printf("%.6f %.6f %lu\n", cpuMs() - cpu, clockMs() - clock, checksum);
    std::fflush(stdout);
  }
  return 0;
}
