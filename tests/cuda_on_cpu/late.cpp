// SPDX-License-Identifier: MIT
// Work of streams that are not being captured, put off until somebody waits for it.
#include <map>
#include <set>
#include <utility>

#include "config.hpp"
#include "handles.hpp"
#include "runtime.hpp"

namespace poe::harness {
namespace {

/// By number, in the order in which it was put into its streams. A number that is not here has run.
std::map<std::size_t, Node>& waiting() {
  static std::map<std::size_t, Node> instance;
  return instance;
}
std::size_t next_number = 0;

}  // namespace

void put_off(cuda::Stream stream, std::function<void()> work) {
  const std::size_t number = next_number++;
  waiting().emplace(number, Node{std::move(work), std::exchange(stream->late, {number})});
}

void finish(std::vector<std::size_t> wanted) {
  std::set<std::size_t> needed;  // in ascending order: what others wait for comes first
  while (!wanted.empty()) {
    const std::size_t number = wanted.back();
    wanted.pop_back();
    const auto at = waiting().find(number);
    if (at == waiting().end() || !needed.insert(number).second) continue;
    wanted.insert(wanted.end(), at->second.after.begin(), at->second.after.end());
  }
  std::map<std::size_t, std::size_t> place;
  std::vector<Node> nodes;
  for (const std::size_t number : needed) {
    Node node = std::move(waiting().extract(number).mapped());
    for (const std::size_t before : std::exchange(node.after, {}))
      if (const auto at = place.find(before); at != place.end()) node.after.push_back(at->second);
    place.emplace(number, nodes.size());
    nodes.push_back(std::move(node));
  }
  run(nodes);
}

void finish_all() {
  std::vector<std::size_t> all;
  for (const auto& [number, node] : waiting()) all.push_back(number);
  finish(std::move(all));
}

}  // namespace poe::harness
