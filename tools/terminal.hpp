// What people see: tables that line up, and progress.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace octavo {

// The rows as lines of columns, the first row being the heading. A column of numbers, "12.5 ms" for
// one, is aligned to the right, any other to the left.
std::string table(const std::vector<std::vector<std::string>>& rows);

// Shows what is being done in one line of stderr, if that is a terminal, and takes it away at the
// end.
class Progress {
 public:
  Progress();
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void show(std::string_view what);

 private:
  bool terminal_;
};

}  // namespace octavo
