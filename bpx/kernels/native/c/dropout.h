// Dropout masks by Philox 4x32-10: see bpx/formulas/dropout.py. Integers only, so the bits are the same everywhere.
#ifndef BPX_DROPOUT_H
#define BPX_DROPOUT_H

#include "vectors.h"
#ifdef __SSE2__
#include <immintrin.h>
#endif
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "two words are stored as one number of 64 bits"
#endif

// Words of 32 bits in lanes of 64; what stands above them means nothing.
typedef __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(uint32_t)), may_alias)) uint64_t Words;
enum { BATCH = 512 };  // words made at once

// Products of 64 bits.
static inline Words multiply_words(Words words, uint32_t factor) {
#if defined(__AVX512F__)
  return (Words)_mm512_mul_epu32((__m512i)words, _mm512_set1_epi64(factor));
#elif defined(__AVX2__)
  return (Words)_mm256_mul_epu32((__m256i)words, _mm256_set1_epi64x(factor));
#elif defined(__SSE2__)
  return (Words)_mm_mul_epu32((__m128i)words, _mm_set1_epi64x(factor));
#else
  return (words & UINT32_MAX) * factor;
#endif
}

// The words of calls number `call`, `call` + 1 ..: those of one call beside each other.
static inline void philox(uint32_t *words, uint64_t call, uint64_t step, uint64_t layer, uint32_t k0, uint32_t k1) {
  Words c0, c1, c2, c3;
  for (Index i = 0; i < LANES_64; ++i) c0[i] = call + (uint64_t)i;
  for (Index i = 0; i < LANES_64; ++i) c1[i] = step, c2[i] = layer, c3[i] = step >> 32;
  for (int round = 0; round < 10; ++round) {
    const Words p0 = multiply_words(c0, 0xD2511F53u), p1 = multiply_words(c2, 0xCD9E8D57u);
    c0 = (p1 >> 32) ^ c1 ^ k0, c1 = p1, c2 = (p0 >> 32) ^ c3 ^ k1, c3 = p0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  const Words first = (c0 & UINT32_MAX) | (c1 << 32), second = (c2 & UINT32_MAX) | (c3 << 32);
  Words *const both = (Words *)words;
#if defined(__AVX512F__)
  both[0] = SHUFFLE(first, second, 0, 8, 1, 9, 2, 10, 3, 11);
  both[1] = SHUFFLE(first, second, 4, 12, 5, 13, 6, 14, 7, 15);
#elif defined(__AVX2__)
  both[0] = SHUFFLE(first, second, 0, 4, 1, 5), both[1] = SHUFFLE(first, second, 2, 6, 3, 7);
#else
  both[0] = SHUFFLE(first, second, 0, 2), both[1] = SHUFFLE(first, second, 1, 3);
#endif
}

// Word e % 4 of call e / 4 belongs to element e, from `start` on for each network.
OPERATION(dropout_mask) {
  const Index rows = op->n[1], k = op->n[2], start = op->n[5];
  const uint64_t step = *(const uint64_t *)op->p[2], layer = (uint64_t)op->n[4];
  const double rate = op->x[0];
  const uint32_t least = (uint32_t)(rate * 4294967296.0);
  const C kept = (C)(1.0 / (1.0 - rate));
  const Share share = share_of_rows(op->n[0], rows, part, parts);
  for (Index network = share.networks.first; network < share.networks.stop; ++network) {
    C *const out = (C *)op->p[0] + network * rows * k;
    const uint32_t seed = (uint32_t)((const Index *)op->p[1])[network * op->n[6]];
    uint32_t words[BATCH];
    for (Index i = share.own.first * k, stop = share.own.stop * k; i < stop;) {
      const Index call = (start + i) / 4, skipped = (start + i) % 4;
      const Index some = stop - i < BATCH - skipped ? stop - i : BATCH - skipped;
      for (Index word = 0; word < skipped + some; word += 4 * LANES_64)
        philox(words + word, (uint64_t)(call + word / 4), step, layer, seed, (uint32_t)op->n[3]);
      for (Index j = 0; j < some; ++j) out[i + j] = words[skipped + j] >= least ? kept : (C)0;
      i += some;
    }
  }
}

#define DROPOUT_KERNELS {"dropout_mask", dropout_mask}

#endif
