// A tensor on the host, in the bytes that the device gets.
#pragma once

#include <cstddef>
#include <vector>

#include "generator/spec.hpp"
#include "tools/reference/formats.hpp"

namespace octavo::reference {

// A packed [tokens, heads, dim] tensor.
struct Tensor {
  DataType type = DataType::bf16;
  std::size_t tokens = 0, heads = 0, dim = 0;
  std::vector<std::byte> data;

  Tensor() = default;
  Tensor(DataType type_, std::size_t tokens_, std::size_t heads_, std::size_t dim_)
      : type(type_),
        tokens(tokens_),
        heads(heads_),
        dim(dim_),
        data(tokens_ * heads_ * dim_ * static_cast<std::size_t>(bytes_of(type_))) {}

  std::size_t row_bytes() const { return heads * dim * static_cast<std::size_t>(bytes_of(type)); }
  void store_row(std::size_t token, std::size_t head, std::span<const double> row) {
    const std::size_t first = (token * heads + head) * dim;
    for (std::size_t i = 0; i < dim; ++i) store(type, data.data(), first + i, row[i]);
  }
  void load_row(std::size_t token, std::size_t head, std::span<double> row) const {
    load(type, data.data(), (token * heads + head) * dim, row.first(dim));
  }
};

}  // namespace octavo::reference
