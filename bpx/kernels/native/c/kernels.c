// All operations but products; compiled without fused multiply-adds, so that each equals its formula.
#include "activations.h"
#include "checks.h"
#include "dropout.h"
#include "linear.h"
#include "losses.h"
#include "updates.h"

const NamedFunction NAME(kernels)[] = {
    ACTIVATION_KERNELS, LOSS_KERNELS, LINEAR_KERNELS, UPDATE_KERNELS, DROPOUT_KERNELS, CHECK_KERNELS, {NULL, NULL},
};
