// Who has something to read that takes longer than a turn of the worker may: a large or compressed body. The worker
// gives it slices (Worker::read_later).
#pragma once

namespace weir::proxy {

class SlowReader {
 public:
  // On the stack of the worker's SlicedWork, which may put it aside at every spend(): what it uses must stay as it is
  // until it is done or forgotten.
  virtual void read_slowly() = 0;
  // It is done; on the worker's own stack.
  virtual void on_read() = 0;

 protected:
  ~SlowReader() = default;
};

}  // namespace weir::proxy
