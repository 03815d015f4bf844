// Runs a fuzz target without libFuzzer: over every file of the folders given, then over mutations
// of them, the same ones each time for a seed, until there were enough or the time is up.
//
//   octavo_fuzz_NAME [--mutations N] [--seconds N] [--seed N] FOLDER...
//
// A crash leaves the input that caused it in ./crash-input.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

struct Options {
  std::uint64_t mutations = 20000;
  std::uint64_t seconds = 20;
  std::uint64_t seed = 1;
  std::vector<std::string> folders;
};

Options parse_options(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string_view name = arguments[i];
    std::uint64_t* number = name == "--mutations" ? &options.mutations
                            : name == "--seconds" ? &options.seconds
                            : name == "--seed"    ? &options.seed
                                                  : nullptr;
    if (number == nullptr) {
      options.folders.emplace_back(name);
    } else if (++i < count) {
      *number = std::stoull(arguments[i]);
    }
  }
  if (options.folders.empty()) throw std::invalid_argument("expected a folder of inputs");
  return options;
}

std::vector<Bytes> read_corpus(const std::vector<std::string>& folders) {
  std::vector<std::filesystem::path> paths;
  for (const std::string& folder : folders) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      if (entry.is_regular_file()) paths.push_back(entry.path());
    }
  }
  if (paths.empty()) throw std::invalid_argument("expected inputs in the folders given");
  std::sort(paths.begin(), paths.end());  // the same order on every file system
  std::vector<Bytes> corpus;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

class Mutator {
 public:
  Mutator(const std::vector<Bytes>& corpus, std::uint64_t seed) : corpus_(corpus), random_(seed) {}

  Bytes next() {
    Bytes bytes = any();
    for (std::uint64_t i = 0, steps = 1 + below(4); i < steps; ++i) mutate(bytes);
    return bytes;
  }

 private:
  // std::uniform_int_distribution differs between libraries; the bias of % does not matter here.
  std::uint64_t below(std::uint64_t end) { return end == 0 ? 0 : random_() % end; }
  const Bytes& any() { return corpus_[below(corpus_.size())]; }
  static std::ptrdiff_t at(std::uint64_t place) { return static_cast<std::ptrdiff_t>(place); }

  void mutate(Bytes& bytes) {
    const std::uint64_t place = below(bytes.size());
    const std::uint64_t length = below(std::min<std::uint64_t>(bytes.size() - place, 64) + 1);
    switch (below(6)) {
      case 0:  // another byte
        if (!bytes.empty()) bytes[place] = static_cast<std::uint8_t>(random_());
        break;
      case 1:  // one bit
        if (!bytes.empty()) bytes[place] ^= static_cast<std::uint8_t>(1U << below(8));
        break;
      case 2:
        bytes.erase(bytes.begin() + at(place), bytes.begin() + at(place + length));
        break;
      case 3: {  // a piece twice
        const Bytes piece(bytes.begin() + at(place), bytes.begin() + at(place + length));
        bytes.insert(bytes.begin() + at(place), piece.begin(), piece.end());
        break;
      }
      case 4:
        bytes.resize(place);
        break;
      default: {  // a piece of another input
        const Bytes& other = any();
        const std::uint64_t from = below(other.size());
        const std::uint64_t size = below(std::min<std::uint64_t>(other.size() - from, 256) + 1);
        bytes.insert(bytes.begin() + at(place), other.begin() + at(from),
                     other.begin() + at(from + size));
      }
    }
  }

  const std::vector<Bytes>& corpus_;
  std::mt19937_64 random_;
};

const Bytes* current = nullptr;

void save_input(int signal) {
  const int file = open("crash-input", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file >= 0 && current != nullptr) {
    const ssize_t written = write(file, current->data(), current->size());
    close(file);
    if (written < 0) _exit(1);
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void run(const Bytes& bytes) {
  current = &bytes;
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

// An exception that leaves the target ends the program, as in libFuzzer.
void replay(const Options& options, const std::vector<Bytes>& corpus) {
  const auto start = std::chrono::steady_clock::now();
  for (const Bytes& bytes : corpus) run(bytes);
  Mutator mutator(corpus, options.seed);
  std::uint64_t done = 0;
  const auto enough = std::chrono::seconds(options.seconds);
  while (done < options.mutations && std::chrono::steady_clock::now() - start < enough) {
    const Bytes bytes = mutator.next();
    run(bytes);
    ++done;
  }
  std::printf("%zu inputs and %llu mutations of them (seed %llu), none wrong\n", corpus.size(),
              static_cast<unsigned long long>(done), static_cast<unsigned long long>(options.seed));
}

}  // namespace

int main(int count, char** arguments) {
  for (const int signal : {SIGSEGV, SIGABRT, SIGFPE, SIGBUS, SIGILL}) {
    std::signal(signal, save_input);
  }
  Options options;
  std::vector<Bytes> corpus;
  try {
    options = parse_options(count, arguments);
    corpus = read_corpus(options.folders);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", arguments[0], error.what());
    return 2;
  }
  replay(options, corpus);
}
