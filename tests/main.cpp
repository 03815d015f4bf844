// A test that checked nothing has not passed. A test case that asserts nothing fails unless it says
// why (MESSAGE); so does a run whose filters no test case meets. Where all that ran said why, the
// exit code is ctest's for a skipped test.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>

namespace {

constexpr int kSkipped = 77;  // SKIP_RETURN_CODE
bool failed = false, asserted = false;

class Witness : public doctest::IReporter {
 public:
  explicit Witness(const doctest::ContextOptions&) {}

  void test_case_start(const doctest::TestCaseData& test) override {
    test_ = &test;
    spoke_ = false;
  }
  void log_message(const doctest::MessageData&) override { spoke_ = true; }
  void test_case_end(const doctest::CurrentTestCaseStats& stats) override {
    if (stats.numAssertsCurrentTest > 0) asserted = true;
    if (stats.numAssertsCurrentTest > 0 || spoke_) return;
    fail(test_->m_name, ": asserted nothing, and did not say why");
  }
  void test_run_end(const doctest::TestRunStats& stats) override {
    if (stats.numTestCasesPassingFilters == 0) fail("no test case is of that name", "");
  }

  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}

 private:
  static void fail(const char* what, const char* why) {
    std::cerr << what << why << '\n';
    failed = true;
  }

  const doctest::TestCaseData* test_ = nullptr;
  bool spoke_ = false;
};
DOCTEST_REGISTER_LISTENER("witness", 0, Witness);

}  // namespace

int main(int count, char** arguments) {
  doctest::Context context(count, arguments);
  const int status = context.run();
  if (status != 0 || context.shouldExit()) return status;
  return failed ? EXIT_FAILURE : asserted ? EXIT_SUCCESS : kSkipped;
}
