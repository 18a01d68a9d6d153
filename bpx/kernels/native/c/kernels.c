// All that goes element by element or row by row; products.c has the products.
#include "activations.h"
#include "checks.h"
#include "dropout.h"
#include "linear.h"
#include "losses.h"
#include "updates.h"

const NamedFunction NAME(kernels)[] = {
    ACTIVATION_KERNELS,
    LOSS_KERNELS,
    LINEAR_KERNELS,
    UPDATE_KERNELS,
    DROPOUT_KERNELS,
    CHECK_KERNELS,
    {NULL, NULL},
};
