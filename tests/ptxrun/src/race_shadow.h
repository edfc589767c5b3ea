// The shared-memory race detector.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ptxrun {

// Two threads touched the same shared byte, one of them wrote, and no bar.sync / bar.warp.sync
// ordered them. Shuffles, votes, mma and ldmatrix order nothing, exactly as in the CUDA rules.
class RaceShadow {
  public:
    void reset(size_t bytes) { bytes_.assign(bytes, Byte()), block_epoch_ = 0; }
    void new_block_epoch() { block_epoch_++; }
    // Returns "" or a description of the race.
    std::string access(int thread, uint32_t warp_epoch, uint32_t address, size_t size, bool write);

  private:
    struct Stamp {
        int thread = -1;
        uint32_t block_epoch = 0, warp_epoch = 0;
    };
    struct Byte {
        Stamp write, read; // the last of each
        // Other readers since the last barrier than read.thread (only the last one is remembered):
        bool readers_same_warp = false, readers_other_warp = false;
    };
    bool ordered(const Stamp &earlier, int thread, uint32_t warp_epoch) const;
    std::vector<Byte> bytes_;
    uint32_t block_epoch_ = 0;
};

} // namespace ptxrun
