// Finds the PTX texts inside the fat binary that nvcc embeds in a host program.
#pragma once
#include <string>
#include <vector>

namespace ptxrun {

// `wrapper` is what the host code passes to __cudaRegisterFatBinary.
std::vector<std::string> ptx_in_fatbin(const void *wrapper);

} // namespace ptxrun
