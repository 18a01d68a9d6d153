#include "numbers.h"
#include "activations.h"
#include "losses.h"
#include "linear.h"
#include "updates.h"
#include "dropout.h"
#include "checks.h"
const NamedFunction NAME(kernels)[] = {ACTIVATION_KERNELS, LOSS_KERNELS, LINEAR_KERNELS, UPDATE_KERNELS, DROPOUT_KERNELS, CHECK_KERNELS, {NULL, NULL}};
