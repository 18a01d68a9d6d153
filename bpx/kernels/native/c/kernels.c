// All that goes element by element or row by row; products.c has the products.
#include "activations.h"
#include "losses.h"

const NamedFunction NAME(kernels)[] = {
    ACTIVATION_KERNELS,
    LOSS_KERNELS,
    {NULL, NULL},
};
