#include "record/consumer_page.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/assert.h"

namespace weir::record {

void ConsumerPage::format(std::span<const std::string> names) {
  ASSERT(names.size() <= kConsumersMax);
  ConsumerTable made{};
  made.count = static_cast<uint32_t>(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    ASSERT(names[i].size() <= kConsumerNameMax);
    std::ranges::copy(names[i], made.names[i]);
    set_position(i, 0);
    set_pulse(i, {});
  }
  made.checksum = consumers_checksum(made);
  std::memcpy(page_, &made, sizeof made);
}

bool ConsumerPage::sound() const {
  const ConsumerTable& known = table();
  return known.count <= kConsumersMax && known.checksum == consumers_checksum(known) &&
         std::ranges::all_of(known.names, [](const auto& name) { return name[kConsumerNameMax] == '\0'; });
}

std::string_view ConsumerPage::name(size_t index) const {
  ASSERT(index < count());
  return table().names[index];
}

std::optional<size_t> ConsumerPage::find(std::string_view wanted) const {
  for (size_t i = 0; i < count(); ++i) {
    if (name(i) == wanted) return i;
  }
  return std::nullopt;
}

Result<std::unique_ptr<MappedConsumerPage>> MappedConsumerPage::open(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return fail("cannot open the journal {}: {}", path, std::strerror(errno));
  void* const mapping =
      mmap(nullptr, kConsumerPageSize, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, kConsumersOffset);
  const int error = errno;
  ::close(descriptor);
  if (mapping == MAP_FAILED) return fail("cannot map the journal {}: {}", path, std::strerror(error));
  return std::unique_ptr<MappedConsumerPage>(new MappedConsumerPage(static_cast<char*>(mapping)));
}

MappedConsumerPage::~MappedConsumerPage() {
  munmap(mapping_, kConsumerPageSize);
}

void MappedConsumerPage::sync() {
  msync(mapping_, kConsumerPageSize, MS_SYNC);
}

}  // namespace weir::record
