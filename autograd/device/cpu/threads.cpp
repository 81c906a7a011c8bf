// SPDX-License-Identifier: MIT
// The thread pool of parallel_for: workers spin for a moment after each loop, then sleep. It does
// not pin threads to cores and does not survive fork().
#include "tapeloop/autograd/device/cpu/threads.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {
namespace {

constexpr std::chrono::microseconds kSpinTime{30};
// How long a team waits for its members; waking a worker takes about 50 us.
constexpr std::chrono::microseconds kArrivalTime{200};

constexpr int kBarrierSpins = 4000;

std::atomic<int> thread_limit{1};

// Set while a loop runs on the pool. A caller that finds it set runs its own loop alone: a nested
// call, or another user thread.
std::atomic<bool> pool_busy{false};

void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#else
  std::this_thread::yield();
#endif
}

// A number on which one thread waits: it spins for kSpinTime, then sleeps. A change of the number
// wakes it.
class WaitableNumber {
 public:
  int get() const { return value_.load(std::memory_order_acquire); }
  void set(int value) {
    value_.store(value);
    wake();
  }
  void subtract_one() {
    if (value_.fetch_sub(1) == 1) wake();
  }
  bool replace(int expected, int value) { return value_.compare_exchange_strong(expected, value); }

  template <class Condition>
  void wait_until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + kSpinTime;
    do {
      for (int i = 0; i < 32; ++i) {
        if (condition(get())) return;
        pause_briefly();
      }
    } while (std::chrono::steady_clock::now() < deadline);
    std::unique_lock lock(mutex_);
    sleeping_.store(true);
    condition_.wait(lock, [&] { return condition(value_.load()); });
    sleeping_.store(false);
  }

 private:
  // Each side writes, then reads what the other side wrote, in one total order: either the sleeper
  // sees the new value, or the waker sees the sleeper. Locking the mutex ensures that the sleeper
  // already waits.
  void wake() {
    if (!sleeping_.load()) return;
    { std::lock_guard lock(mutex_); }
    condition_.notify_one();
  }

  std::atomic<int> value_{0};
  std::atomic<bool> sleeping_{false};
  std::mutex mutex_;
  std::condition_variable condition_;
};

}  // namespace

// How a worker becomes a member of a team: it reports that it is present, then waits for the list
// of members.
class internal::TeamStart {
 public:
  static constexpr int kMost = 64;  // members, one bit each

  TeamStart(TeamFunction function, void* body) : function_(function), body_(body) {}

  // Called by a worker; its part is 1 or more.
  void join(int part) {
    present_.fetch_or(bit(part));
    std::uint64_t members = 0;
    while ((members = members_.load(std::memory_order_acquire)) == 0) pause_briefly();
    run(std::popcount(members & (bit(part) - 1)));
  }
  bool is_there(int part) const {
    return (present_.load(std::memory_order_acquire) & bit(part)) != 0;
  }
  // Called by the calling thread: starts all workers that are present.
  void begin() {
    const std::uint64_t members = present_.load() | bit(0);
    team_.size_ = std::popcount(members);
    members_.store(members, std::memory_order_release);
    run(0);
  }
  // The exception of the member that threw first, or null. For the calling thread, after all
  // members have ended.
  const std::exception_ptr& error() const { return error_; }

 private:
  void run(int member) noexcept {
    try {
      function_(body_, team_, member);
    } catch (const Team::Abandoned&) {
    } catch (...) {
      if (!team_.abandoned_.exchange(true)) error_ = std::current_exception();
    }
  }

  static std::uint64_t bit(int part) { return std::uint64_t{1} << part; }

  TeamFunction function_;
  void* body_;
  Team team_;
  std::atomic<std::uint64_t> present_{0};
  std::atomic<std::uint64_t> members_{0};  // 0: not decided yet
  std::exception_ptr error_;
};

namespace {

struct Loop {
  std::int64_t count = 0;
  int parts = 0;
  internal::RangeFunction function = nullptr;
  void* body = nullptr;

  std::exception_ptr run(int part) const noexcept {
    const std::int64_t length = count / parts;
    const std::int64_t longer = count % parts;  // the first `longer` parts are one longer
    const std::int64_t begin = part * length + (part < longer ? part : longer);
    try {
      function(body, begin, begin + length + (part < longer ? 1 : 0));
    } catch (...) {
      return std::current_exception();
    }
    return nullptr;
  }
};

class Pool {
 public:
  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() = delete;  // workers may be at work when the program ends

  void run(Loop loop) {
    const int helpers = give_orders(loop);
    std::exception_ptr error = loop.run(0);
    // The caller runs each part whose worker has not started yet. The system may run something else
    // on that worker's core, and waiting could take many times longer than the loop.
    for (int i = 0; i < helpers; ++i) take_part(worker(i), i + 1, order_);
    unfinished_.wait_until([](int left) { return left == 0; });
    for (int i = 0; i < helpers; ++i) {
      std::exception_ptr other = std::exchange(worker(i).error, nullptr);
      if (!error) error = std::move(other);
    }
    if (error) std::rethrow_exception(error);
  }

  void run_team(int most, internal::TeamFunction function, void* body) {
    internal::TeamStart start(function, body);
    const auto join = [](void* erased, std::int64_t part, std::int64_t) {
      static_cast<internal::TeamStart*>(erased)->join(static_cast<int>(part));
    };
    const int helpers = give_orders({0, most, join, &start});
    const auto deadline = std::chrono::steady_clock::now() + kArrivalTime;
    for (int i = 0; i < helpers; ++i) {
      int spins = 0;
      while (!start.is_there(i + 1)) {
        pause_briefly();
        // After the deadline the caller withdraws the order, unless the worker has just taken it.
        if (++spins % 32 == 0 && std::chrono::steady_clock::now() > deadline &&
            worker(i).order.replace(order_, order_ + 1)) {
          unfinished_.subtract_one();
          break;
        }
      }
    }
    start.begin();
    unfinished_.wait_until([](int left) { return left == 0; });
    if (start.error() != nullptr) std::rethrow_exception(start.error());
  }

 private:
  // Hands a loop to the workers. Returns the number of workers that got it.
  int give_orders(Loop loop) {
    start_workers(loop.parts - 1);
    const int helpers = std::min(loop.parts - 1, static_cast<int>(workers_.size()));
    loop.parts = helpers + 1;
    loop.count = std::max<std::int64_t>(loop.count, loop.parts);
    loop_ = loop;
    unfinished_.set(helpers);
    order_ = order_ >= kLastOrder ? 2 : order_ + 2;
    for (int i = 0; i < helpers; ++i) worker(i).order.set(order_);
    return helpers;
  }

  static constexpr int kLastOrder = 1 << 30;

  // An order is an even number, new for each loop. The first thread that makes it odd runs the
  // part.
  static bool is_open(int order) { return order > 0 && order % 2 == 0; }

  struct alignas(64) Worker {
    WaitableNumber order;  // the newest order for this worker
    std::exception_ptr error;
    std::thread thread;
  };

  Worker& worker(int i) { return *workers_[static_cast<std::size_t>(i)]; }

  void start_workers(int wanted) {
    while (static_cast<int>(workers_.size()) < wanted) {
      auto fresh = std::make_unique<Worker>();
      const int part = static_cast<int>(workers_.size()) + 1;
      workers_.reserve(workers_.size() + 1);
      try {
        fresh->thread = std::thread([this, part, self = fresh.get()] { work(part, *self); });
      } catch (const std::system_error&) {
        return;  // the system has no more threads: use those that exist
      }
      workers_.push_back(std::move(fresh));
    }
  }

  void take_part(Worker& owner, int part, int order) {
    if (!owner.order.replace(order, order + 1)) return;
    owner.error = loop_.run(part);
    unfinished_.subtract_one();
  }

  void work(int part, Worker& self) {
    for (;;) {
      self.order.wait_until([](int order) { return is_open(order); });
      const int order = self.order.get();
      if (is_open(order)) take_part(self, part, order);
    }
  }

  Loop loop_;
  int order_ = 0;
  WaitableNumber unfinished_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace

void set_num_threads(int count) {
  if (count < 1 || count > kMaxThreads) {
    fail("set_num_threads", "got " + std::to_string(count) + ", expected 1 to " +
                                std::to_string(kMaxThreads) +
                                "; pass 1 to run everything in the calling thread");
  }
  thread_limit.store(count, std::memory_order_relaxed);
}

int num_threads() { return thread_limit.load(std::memory_order_relaxed); }

namespace {

struct ReleasePool {
  ~ReleasePool() { pool_busy.store(false); }
};

Pool& the_pool() {
  static Pool& pool = *new Pool;
  return pool;
}

}  // namespace

void internal::run_in_parts(std::int64_t count, int parts, RangeFunction function, void* body) {
  if (pool_busy.exchange(true)) {
    function(body, 0, count);
    return;
  }
  ReleasePool release;
  the_pool().run({count, parts, function, body});
}

void internal::run_in_team(int most, TeamFunction function, void* body) {
  most = std::min({most, num_threads(), TeamStart::kMost});
  if (most < 2 || pool_busy.exchange(true)) {
    Team alone;
    function(body, alone, 0);
    return;
  }
  ReleasePool release;
  the_pool().run_team(most, function, body);
}

void internal::Team::wait() {
  if (size_ == 1) return;
  const int round = round_.load(std::memory_order_acquire);
  if (waiting_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    waiting_.store(0, std::memory_order_relaxed);
    round_.store(round + 1, std::memory_order_release);
    return;
  }
  // The other members need microseconds, unless the system has taken their core away.
  for (int spins = 0; round_.load(std::memory_order_acquire) == round; ++spins) {
    if (abandoned_.load(std::memory_order_relaxed)) throw Abandoned{};
    if (spins < kBarrierSpins) {
      pause_briefly();
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace tapeloop
