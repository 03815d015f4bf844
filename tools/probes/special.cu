// One instruction of one operand on each word. Before this text: INSTRUCTION (its opcode) and
// REGISTER (".f32", or ".b32" for two halves).
extern "C" __global__ void probe(const unsigned* x, unsigned* y, unsigned count) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  unsigned result;
  asm volatile("{ .reg " REGISTER " x, y; mov.b32 x, %1; " INSTRUCTION " y, x; mov.b32 %0, y; }"
               : "=r"(result)
               : "r"(x[i]));
  y[i] = result;
}
