// The formulas of bpx/formulas for one number: what the native kernels (C) and the CUDA kernels (C++) have in common.
//
// C is the type of the numbers. Who includes this has defined C; FORMULA, what a function begins with; and the
// functions of C named EXP, EXPM1, LOG, LOG1P, TANH, SQRT and ABS.

// What `xp.finfo` gives for C, and the largest x for which exp(x) is finite.
#define IS_DOUBLE (sizeof(C) == sizeof(double))
#define SMALLEST_NORMAL ((C)(IS_DOUBLE ? 2.2250738585072014e-308 : 1.1754943508222875e-38))
#define EPSILON ((C)(IS_DOUBLE ? 2.220446049250313e-16 : 1.1920928955078125e-07))
#define LARGEST_EXPONENT ((C)(IS_DOUBLE ? 709.782712893384 : 88.72283905206835))

// As the array API has them: a NaN on either side is the result. One instruction does it where x is a constant.
FORMULA C maximum(C x, C y) { return x > y || x != x ? x : y; }
FORMULA C minimum(C x, C y) { return x < y || x != x ? x : y; }
// 0 and NaN as they are.
FORMULA C sign(C x) { return x > 0 ? 1 : x < 0 ? -1 : x; }

// Activations: bpx/formulas/activations.py. f(z) is `value`, f'(z) is `slope`; the parameter is leaky_relu's slope and
// elu's alpha.
FORMULA C identity_value(C z, C parameter) { return z; }

FORMULA C sigmoid_value(C z, C parameter) { return 1 / (1 + EXP(minimum(LARGEST_EXPONENT - 1, -z))); }
FORMULA C sigmoid_slope(C z, C a, C parameter) { return a * (1 - a); }

FORMULA C tanh_value(C z, C parameter) { return TANH(z); }
FORMULA C tanh_slope(C z, C a, C parameter) { return 1 - a * a; }

FORMULA C relu_value(C z, C parameter) { return maximum(0, z); }
FORMULA C relu_slope(C z, C a, C parameter) { return a > 0 ? 1 : 0; }

FORMULA C leaky_relu_value(C z, C slope) { return maximum(z, slope * z); }
FORMULA C leaky_relu_slope(C z, C a, C slope) { return a > 0 ? 1 : slope; }

FORMULA C elu_value(C z, C alpha) { return z > 0 ? z : alpha * EXPM1(minimum(0, z)); }
FORMULA C elu_slope(C z, C a, C alpha) { return a > 0 ? 1 : a + alpha; }

#define SELU_SCALE ((C)1.0507009873554805)
#define SELU_BELOW ((C)1.7580993408473766)  // scale * alpha
FORMULA C selu_value(C z, C parameter) { return z > 0 ? SELU_SCALE * z : SELU_BELOW * EXPM1(minimum(0, z)); }
FORMULA C selu_slope(C z, C a, C parameter) { return z > 0 ? SELU_SCALE : SELU_BELOW * EXP(minimum(0, z)); }

FORMULA C softplus_value(C z, C parameter) { return maximum(0, z) + LOG1P(EXP(-ABS(z))); }
FORMULA C softplus_slope(C z, C a, C parameter) { return -EXPM1(-a); }

FORMULA C silu_value(C z, C parameter) { return z * sigmoid_value(z, parameter); }
FORMULA C silu_slope(C z, C a, C parameter) {
  const C s = sigmoid_value(z, parameter);
  return s + a * (1 - s);
}

FORMULA C mish_value(C z, C parameter) { return z * TANH(softplus_value(z, parameter)); }
FORMULA C mish_slope(C z, C a, C parameter) {
  const C held = minimum(30, z), e = EXP(held), n = e * (e + 2);
  return n / (n + 2) + 4 * held * e * (1 + e) / (n + 2) / (n + 2);
}

#define GELU_FACTOR ((C)0.7978845608028654)  // sqrt(2 / pi)
FORMULA C gelu_inner(C z) { return TANH(GELU_FACTOR * z * (1 + (C)0.044715 * z * z)); }
FORMULA C gelu_value(C z, C parameter) { return (C)0.5 * z * (1 + gelu_inner(z)); }
FORMULA C gelu_slope(C z, C a, C parameter) {
  const C t = gelu_inner(z), inner_slope = GELU_FACTOR * (1 + (C)0.134145 * z * z);
  return (C)0.5 * (1 + t) + (C)0.5 * z * (1 - t * t) * inner_slope;
}

// exp(z), continued as its tangent beyond 0.8 of the largest exponent.
FORMULA C held_exponent(C z) { return minimum((C)0.8 * LARGEST_EXPONENT, z); }
FORMULA C exp_value(C z, C parameter) {
  const C held = held_exponent(z);
  return EXP(held) * (1 + (z - held));
}
FORMULA C exp_slope(C z, C a, C parameter) { return EXP(held_exponent(z)); }

FORMULA C step_value(C z, C parameter) { return z >= 0 ? 1 : 0; }

// Losses: bpx/formulas/losses.py. Of one sample and output, the value and its derivative; the parameter is huber's
// delta and the quantile's level.
typedef struct {
  C value, slope;
} Both;
FORMULA Both both(C value, C slope) {
  const Both result = {value, slope};
  return result;
}
FORMULA C held_log(C a) { return LOG(maximum(SMALLEST_NORMAL, a)); }

FORMULA Both squared_error_at(C a, C y, C parameter) { return both((C)0.5 * (a - y) * (a - y), a - y); }
FORMULA Both absolute_error_at(C a, C y, C parameter) { return both(ABS(a - y), sign(a - y)); }
FORMULA Both huber_error_at(C a, C y, C delta) {
  const C residual = a - y, held = maximum(-delta, minimum(delta, residual));
  return both(held * (residual - (C)0.5 * held), held);
}
FORMULA Both quantile_error_at(C a, C y, C level) {
  const C residual = y - a, over = residual < 0 ? 1 : 0, slope = (over - level) * ABS(sign(residual));
  return both(-slope * residual, slope);
}
FORMULA Both binary_cross_entropy_at(C a, C y, C parameter) {
  const C held = maximum(SMALLEST_NORMAL, minimum(1 - EPSILON, a));
  return both(-(y * LOG(held) + (1 - y) * LOG1P(-held)), (a - y) / (held * (1 - held)));
}
FORMULA Both binary_cross_entropy_with_sigmoid_at(C z, C y, C parameter) {
  return both(maximum(0, z) - y * z + LOG1P(EXP(-ABS(z))), sigmoid_value(z, parameter) - y);
}
FORMULA Both cross_entropy_at(C a, C y, C parameter) {
  return both(-y * held_log(a), -y / maximum(SMALLEST_NORMAL, a));
}
FORMULA Both poisson_at(C a, C y, C parameter) {
  const C held = maximum(SMALLEST_NORMAL * (1 + y), a);
  return both(a - y + y * held_log(y) - y * LOG(held), 1 - y / held);
}
FORMULA Both poisson_with_exp_at(C z, C y, C parameter) {
  return both(exp_value(z, parameter) - y + y * held_log(y) - y * z, exp_slope(z, z, parameter) - y);
}
// Of a row of softmax: `shifted` is z - max z and e its exponential, `total` and `mass` are the row's sums of e and y.
FORMULA Both cross_entropy_with_softmax_at(C shifted, C e, C log_total, C mass_of_total, C y) {
  return both(-y * (shifted - log_total), e * mass_of_total - y);
}

// Updates: bpx/formulas/updates.py. One number of the parameters, and of what an optimizer keeps.
FORMULA void gradient_descent_of(C g, C *p, C rate) { *p -= rate * g; }

FORMULA void momentum_of(C g, C *velocity, C *p, C rate, C friction, int nesterov) {
  const C push = rate * g, v = friction * *velocity - push;
  *velocity = v;
  *p += nesterov ? friction * v - push : v;
}

// s <- kept s + fresh g^2; p <- p - r g / (sqrt(s) + eps): RMSprop (fresh = 1 - kept), and Adagrad (both 1).
FORMULA void scaled_of(C g, C *square, C *p, C rate, C kept, C fresh, C epsilon) {
  const C s = kept * *square + fresh * (g * g);
  *square = s;
  *p -= rate * (g / (SQRT(s) + epsilon));
}

// The numbers of one step of Adam, computed in double and rounded once. `power_1` and `power_2` are beta_1^step and
// beta_2^step; `hat` is the form in which epsilon is added before the bias correction.
typedef struct {
  C kept_1, fresh_1, kept_2, fresh_2, epsilon, left, correction, pace;
} Adam;
FORMULA Adam adam_step(double rate, double beta_1, double beta_2, double epsilon, double decay, double power_1,
                       double power_2, int hat) {
  const double root = sqrt(1.0 - power_2), pace = rate / (1.0 - power_1);
  Adam adam;
  adam.kept_1 = (C)beta_1, adam.fresh_1 = (C)(1.0 - beta_1);
  adam.kept_2 = (C)beta_2, adam.fresh_2 = (C)(1.0 - beta_2);
  adam.epsilon = (C)epsilon, adam.left = (C)(decay != 0.0 ? 1.0 - rate * decay : 1.0);
  adam.correction = (C)(hat ? 1.0 : root), adam.pace = (C)(hat ? pace * root : pace);
  return adam;
}
FORMULA void adam_of(C g, C *mean, C *square, C *p, Adam adam) {
  const C m = adam.kept_1 * *mean + adam.fresh_1 * g, s = adam.kept_2 * *square + adam.fresh_2 * (g * g);
  *mean = m, *square = s;
  *p = *p * adam.left - adam.pace * (m / (SQRT(s) / adam.correction + adam.epsilon));
}
