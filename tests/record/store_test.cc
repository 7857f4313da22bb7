#include "record/store.h"

#include <doctest/doctest.h>

#include "record/record_fixture.h"

namespace weir::record {

namespace {

std::unique_ptr<Store> open_store(const TempFolder& folder) {
  auto store = Store::open(folder.database());
  REQUIRE_MESSAGE(store.has_value(), (store ? "" : store.error().message));
  return std::move(*store);
}

GatewayKey key_of(const std::string& id, uint8_t token) {
  GatewayKey key{
      .id = id, .username = "ada", .initiator_id = "7b0ad5b5-7d4e-4f7c-9c1c-2b8f1f6f7d11", .hint = "weir...1"};
  key.token_sha256.fill(token);
  key.created_at = 1000 + token;
  return key;
}

}  // namespace

TEST_CASE("store: a key comes back as it was added, oldest first") {
  const TempFolder folder;
  auto store = open_store(folder);
  GatewayKey key = key_of("b", 2);
  key.expires_at = 77;
  REQUIRE(store->add_key(key).has_value());
  REQUIRE(store->add_key(key_of("a", 1)).has_value());
  const auto keys = store->list_keys();
  REQUIRE(keys.has_value());
  REQUIRE(keys->size() == 2);
  CHECK((*keys)[0].id == "a");
  CHECK((*keys)[1].username == "ada");
  CHECK((*keys)[1].hint == "weir...1");
  CHECK((*keys)[1].token_sha256 == key.token_sha256);
  CHECK((*keys)[1].expires_at == 77);
  CHECK((*keys)[1].revoked_at == 0);
}

TEST_CASE("store: the same id or token twice is refused") {
  const TempFolder folder;
  auto store = open_store(folder);
  REQUIRE(store->add_key(key_of("a", 1)).has_value());
  CHECK_FALSE(store->add_key(key_of("a", 2)).has_value());
  CHECK_FALSE(store->add_key(key_of("b", 1)).has_value());
}

TEST_CASE("store: a unique prefix revokes a live key, once") {
  const TempFolder folder;
  auto store = open_store(folder);
  REQUIRE(store->add_key(key_of("abc1", 1)).has_value());
  REQUIRE(store->add_key(key_of("abd2", 2)).has_value());
  CHECK_FALSE(store->revoke_key("ab", 5).has_value());  // two live keys
  CHECK(store->revoke_key("ABC", 5).value());
  CHECK_FALSE(store->revoke_key("abc", 6).value());  // no longer live
  CHECK(store->revoke_key("ab", 7).value());         // unique among the live ones now
  CHECK_FALSE(store->revoke_key("", 8).value());
  CHECK((*store->list_keys())[0].revoked_at == 5);
}

TEST_CASE("store: live keys are neither revoked nor expired") {
  const TempFolder folder;
  auto store = open_store(folder);
  GatewayKey expiring = key_of("c", 3);
  expiring.expires_at = 100;
  REQUIRE(store->add_key(key_of("a", 1)).has_value());
  REQUIRE(store->add_key(key_of("b", 2)).has_value());
  REQUIRE(store->add_key(expiring).has_value());
  REQUIRE(store->revoke_key("b", 5).value());
  CHECK(store->live_keys(99)->size() == 2);
  CHECK(store->live_keys(100)->size() == 1);
}

TEST_CASE("store: the version changes with keys of any connection, never with records") {
  const TempFolder folder;
  auto serve = open_store(folder);
  auto command = open_store(folder);
  const int64_t first = serve->version().value();
  REQUIRE(command->add_key(key_of("a", 1)).has_value());
  const int64_t added = serve->version().value();
  CHECK(added != first);
  REQUIRE(command->revoke_key("a", 5).value());
  const int64_t revoked = serve->version().value();
  CHECK(revoked != added);
  auto recorder = start_recorder(options_of(folder));
  JournalWriter writer(recorder->journal(0));
  REQUIRE(writer.begin(start_of(1)));
  REQUIRE(recorder->stop(kStopNs));
  CHECK(serve->version().value() == revoked);
}

TEST_CASE("store: another file at the path is opened, and is another version") {
  const TempFolder folder;
  auto store = open_store(folder);
  REQUIRE(store->add_key(key_of("a", 1)).has_value());
  const int64_t first = store->version().value();
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(folder.database() + suffix);
  CHECK(store->version().value() != first);
  CHECK(store->list_keys()->empty());
}

TEST_CASE("store: a database of a newer weir is refused, and left as it is") {
  const TempFolder folder;
  open_store(folder).reset();
  {
    Reader reader(folder.database());
    REQUIRE(reader.execute("PRAGMA user_version=99") == SQLITE_OK);
  }
  const auto store = Store::open(folder.database());
  REQUIRE_FALSE(store.has_value());
  CHECK(store.error().message.find("version 99") != std::string::npos);
  const auto recorder = Recorder::start(options_of(folder), nullptr);
  REQUIRE_FALSE(recorder.has_value());
  CHECK(recorder.error().message.find("version 99") != std::string::npos);
}

TEST_CASE("store: the folder is made, for its owner only") {
  const TempFolder folder;
  REQUIRE(Store::open(folder.path() + "/data/weir.db").has_value());
  const auto status = std::filesystem::status(folder.path() + "/data");
  CHECK(status.permissions() == std::filesystem::perms::owner_all);
}

TEST_CASE("store: the log filters by each field and shows the newest first") {
  const TempFolder folder;
  auto recorder = start_recorder(options_of(folder));
  JournalWriter writer(recorder->journal(0));
  Start other = start_of(2, 2000);
  other.username = "bob";
  other.initiator_id = "0e0f3f0a-0000-4000-8000-000000000001";
  other.provider = "openai";
  other.model = "gpt-5";
  other.credential_kind = "subscription";
  other.session_id = "session-2";
  REQUIRE(writer.begin(start_of(1, 1000)));
  REQUIRE(writer.begin(other));
  REQUIRE(writer.begin(start_of(3, 3000)));
  writer.add(usage_of(1));
  writer.add(usage_of(1));
  writer.end(end_of(1));
  REQUIRE(recorder->stop(kStopNs));

  auto store = open_store(folder);
  const auto ids = [&](const LogFilter& filter) {
    std::string found;
    const auto rows = store->log(filter);
    REQUIRE(rows.has_value());
    for (const InterceptionRow& row : *rows) found += row.id.back();
    return found;
  };
  CHECK(ids({}) == "321");
  CHECK(ids({.user = "bob"}) == "2");
  CHECK(ids({.user = "0e0f3f0a-0000-4000-8000-000000000001"}) == "2");
  CHECK(ids({.provider = "anthropic"}) == "31");
  CHECK(ids({.model = "gpt-5"}) == "2");
  CHECK(ids({.outcome = "completed"}) == "1");
  CHECK(ids({.credential_kind = "subscription"}) == "2");
  CHECK(ids({.session_id = "session-2"}) == "2");
  CHECK(ids({.since = 2000}) == "32");
  CHECK(ids({.until = 2000}) == "1");
  CHECK(ids({.user = "ada", .since = 1001, .until = 9999}) == "3");
  CHECK(ids({.limit = 1}) == "3");
  CHECK(ids({.after_rowid = 1}) == "23");
  CHECK(ids({.user = "' OR 1 --"}).empty());

  const auto rows = store->log({.until = 1001});
  REQUIRE(rows->size() == 1);
  CHECK(rows->front().input_tokens == 20);
  CHECK(rows->front().cache_write_tokens == 80);
  CHECK(rows->front().ended_at == 2000);
  CHECK(rows->front().first_byte_us == 321);
  CHECK(rows->front().node == "node-a");
}

TEST_CASE("store: a follower gets each interception once, as it ends") {
  const TempFolder folder;
  auto recorder = start_recorder(options_of(folder));
  JournalWriter writer(recorder->journal(0));
  REQUIRE(writer.begin(start_of(1)));
  writer.end(end_of(1));
  REQUIRE(writer.begin(start_of(2)));
  auto store = open_store(folder);
  REQUIRE(eventually([&] { return store->log({})->size() == 2; }));

  auto cursor = store->follow_from_now();
  REQUIRE(cursor.has_value());
  CHECK(cursor->running.size() == 1);
  std::string seen;
  const auto follow = [&](const LogFilter& filter = {}) {
    const auto rows = store->follow(*cursor, filter);
    REQUIRE(rows.has_value());
    for (const InterceptionRow& row : *rows) seen += row.id.back();
  };
  follow();
  CHECK(seen.empty());
  REQUIRE(writer.begin(start_of(3)));
  REQUIRE(writer.begin(start_of(4)));
  writer.end(end_of(4));
  CHECK(eventually([&] {
    follow();
    return seen == "4";
  }));
  writer.end(end_of(2));
  CHECK(eventually([&] {
    follow();
    return seen == "42";
  }));
  writer.end(end_of(3));
  CHECK(eventually([&] { return store->log({.outcome = "completed"})->size() == 4; }));
  follow({.user = "nobody"});  // it ended, but does not pass
  follow();
  CHECK(seen == "42");
}

}  // namespace weir::record
