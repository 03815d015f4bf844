// When pending work is done that no warp waits for by itself.
#include "execute/cluster.hpp"

namespace octavo::emulator {

// cp.async lands in its warp's own waits (async_copy.cpp), so that nothing is ever left here.
bool perform_pending(Cluster&) { return false; }

void perform_at_random(Cluster&) {}

}  // namespace octavo::emulator
