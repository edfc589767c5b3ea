// Who touched which byte of shared memory last, and whether a barrier lies between.
#include "race_shadow.h"

namespace ptxrun {

bool RaceShadow::ordered(const Stamp &earlier, int thread, uint32_t warp_epoch) const
{
    return earlier.thread == thread || earlier.block_epoch < block_epoch_ ||
           (earlier.thread / 32 == thread / 32 && earlier.warp_epoch < warp_epoch);
}

std::string RaceShadow::access(int thread, uint32_t warp_epoch, uint32_t address, size_t size,
                               bool write)
{
    for (uint32_t a = address; a < address + size; a++) {
        Byte &b = bytes_[a];
        if (b.write.thread >= 0 && !ordered(b.write, thread, warp_epoch)) {
            return std::string("shared-memory race: ") + (write ? "write" : "read") + " of byte " +
                   std::to_string(a) + " after an unordered write by thread " +
                   std::to_string(b.write.thread);
        }
        const bool recent = b.read.thread >= 0 && b.read.block_epoch == block_epoch_;
        if (write) {
            const bool hidden_reader =
                recent &&
                (b.readers_other_warp || (b.readers_same_warp && b.read.warp_epoch == warp_epoch));
            if (b.read.thread >= 0 && (hidden_reader || !ordered(b.read, thread, warp_epoch))) {
                return "shared-memory race: write of byte " + std::to_string(a) +
                       " after an unordered read, last by thread " + std::to_string(b.read.thread);
            }
            b.write = {thread, block_epoch_, warp_epoch};
            continue;
        }
        if (!recent) {
            b.readers_same_warp = b.readers_other_warp = false;
        } else if (b.read.thread != thread) {
            if (b.read.thread / 32 != thread / 32) {
                b.readers_other_warp = true;
            } else if (b.read.warp_epoch == warp_epoch) {
                b.readers_same_warp = true;
            }
        }
        b.read = {thread, block_epoch_, warp_epoch};
    }
    return "";
}

} // namespace ptxrun
