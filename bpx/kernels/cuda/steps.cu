// What changes between the replays of a captured step: kept on the device, and moved on by the step itself.

// The batch's row numbers: order[k, *start + i] for each network k, whose order is `stride` long.
extern "C" __global__ void batch_rows(const long long* order, long long stride, const long long* start, long long* rows,
                                      long long n, long long networks) {
  for (long long k = blockIdx.y; k < networks; k += gridDim.y)
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x)
      rows[k * n + i] = order[k * stride + *start + i];
}

// The next step begins n rows later, and is the next one; the last kernel of a step.
extern "C" __global__ void advance(long long* start, long long* done, double* number, long long n) {
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    *start += n;
    *done += 1;
    *number += 1.0;
  }
}
