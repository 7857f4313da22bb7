#include "base/budgeted_buffer.h"

#include <doctest/doctest.h>

#include <string>

namespace weir {

TEST_CASE("memory budget: what does not fit is refused and changes nothing") {
  MemoryBudget budget(100);
  CHECK(budget.take(60));
  CHECK_FALSE(budget.take(41));
  CHECK(budget.take(40));
  CHECK_FALSE(budget.take(1));
  CHECK(budget.take(0));
  budget.give_back(100);
  CHECK(budget.held() == 0);
  CHECK_FALSE(budget.take(UINT64_MAX));
}

TEST_CASE("memory budget: a limit below what is held lets nothing more be taken") {
  MemoryBudget budget(100);
  CHECK(budget.take(80));
  budget.set_limit(50);
  CHECK_FALSE(budget.take(1));
  budget.give_back(40);
  CHECK(budget.take(10));
}

TEST_CASE("budgeted buffer: small ones are not counted, large ones are until they go") {
  MemoryBudget budget(size_t{1} << 20);
  {
    BudgetedBuffer buffer;
    buffer.reset(&budget);
    CHECK(buffer.append(std::string(10000, 'x')));
    CHECK(budget.held() == 0);
    CHECK(buffer.append(std::string(90000, 'x')));
    CHECK(budget.held() == buffer.capacity());
    buffer.clear();
    CHECK(budget.held() == 0);
    CHECK(buffer.capacity() == 0);
    CHECK(buffer.append(std::string(100000, 'x')));
  }
  CHECK(budget.held() == 0);
}

TEST_CASE("budgeted buffer: what the budget refuses is not appended, and the rest stays") {
  MemoryBudget budget(size_t{64} * 1024);
  BudgetedBuffer first, second;
  first.reset(&budget);
  second.reset(&budget);
  CHECK(first.append(std::string(40000, 'a')));
  CHECK(second.append(std::string(1000, 'b')));
  CHECK_FALSE(second.append(std::string(40000, 'b')));
  CHECK(second.view() == std::string(1000, 'b'));
  first.release();
  CHECK(second.append(std::string(40000, 'b')));
  CHECK(second.size() == 41000);
}

TEST_CASE("budgeted buffer: swapping moves what is counted along") {
  MemoryBudget budget(size_t{1} << 20);
  BudgetedBuffer first, second;
  first.reset(&budget);
  second.reset(&budget);
  CHECK(first.append(std::string(50000, 'a')));
  const uint64_t held = budget.held();
  std::swap(first, second);
  CHECK(budget.held() == held);
  CHECK(first.empty());
  second.release();
  CHECK(budget.held() == 0);
}

}  // namespace weir
