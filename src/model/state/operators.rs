//! What PyTorch's own functions do with what they are given, as far as it matters here.

/// Functions that change a list or a dictionary.
const CHANGES: [&str; 12] = [
    "append",
    "_set_item",
    "insert",
    "pop",
    "clear",
    "extend",
    "remove",
    "Delete",
    "update",
    "popitem",
    "setdefault",
    "reverse",
];

/// Operators that write to what is left of them.
const OPERATORS: [&str; 5] = ["__iand__", "__ior__", "__ixor__", "__ilshift__", "__irshift__"];

/// Functions whose result may be the memory of their first argument, and of no other.
const VIEWS: [&str; 53] = [
    "alias",
    "as_strided",
    "chunk",
    "contiguous",
    "detach",
    "diagonal",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "alpha_dropout",
    "feature_dropout",
    "expand",
    "expand_as",
    "flatten",
    "hsplit",
    "vsplit",
    "dsplit",
    "movedim",
    "moveaxis",
    "narrow",
    "numpy_T",
    "permute",
    "pin_memory",
    "ravel",
    "reshape",
    "reshape_as",
    "resolve_conj",
    "resolve_neg",
    "select",
    "slice",
    "split",
    "split_with_sizes",
    "squeeze",
    "swapaxes",
    "swapdims",
    "t",
    "tensor_split",
    "to",
    "transpose",
    "type_as",
    "unbind",
    "unflatten",
    "unfold",
    "unsafe_chunk",
    "unsafe_split",
    "unsqueeze",
    "values",
    "view",
    "view_as",
    "float",
    "double",
    "half",
];

/// Functions whose result is memory of its own, or no tensor. Whatever is not here and is no
/// view may be the memory of any argument.
const MAKES: &str = "\
    abs acos adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d add addbmm addcdiv addcmul \
    addmm addmv all amax amin any arange argmax argmin argsort asin atan atan2 avg_pool1d avg_pool2d avg_pool3d baddbmm \
    batch_norm bilinear bitwise_and bitwise_not bitwise_or bitwise_xor bmm bucketize cat cdist ceil celu clamp clamp_max \
    clamp_min clone concat conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution \
    _convolution cos cosh cosine_similarity count_nonzero cumprod cumsum dim div dot elu embedding embedding_bag empty \
    empty_like eq erf erfc exp exp2 expm1 flip floor floor_divide fmod format frac full full_like gather ge gelu glu \
    group_norm gru gru_cell gt hardsigmoid hardswish hardtanh index index_add index_copy index_fill index_put \
    index_select instance_norm is_floating_point isfinite isinf isnan layer_norm le leaky_relu len lerp linear log \
    log10 log1p log2 log_sigmoid log_softmax logical_and logical_not logical_or logical_xor logit logsumexp lstm \
    lstm_cell lt masked_fill masked_scatter masked_select matmul max max_pool1d max_pool2d max_pool3d maximum mean min \
    minimum mish mm mul mv nan_to_num ne neg new_empty new_full new_ones new_zeros norm numel one_hot ones ones_like \
    outer pow prelu prod rand rand_like randn randn_like reciprocal relu relu6 remainder repeat repeat_interleave \
    rms_norm rnn_relu rnn_tanh roll round rsqrt rsub scaled_dot_product_attention scatter scatter_add searchsorted selu \
    sigmoid sign silu sin sinh size softmax softplus softshrink sort sqrt stack std sub sum take tan tanh tensor \
    threshold topk tril triu trunc var where zeros zeros_like __and__ __contains__ __is__ __isnot__ __not__ __or__ \
    __xor__";

/// What a function of PyTorch does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    /// Writes to its first argument, and returns it.
    Write,
    /// Changes the container that is its first argument.
    Change,
    /// Returns what may be the memory of its first argument.
    View,
    /// Returns memory of its own.
    Make,
    /// Nobody knows.
    Anything,
}

impl Does {
    /// What the function of this name does.
    pub(super) fn of(function: &str) -> Self {
        let in_place = function.ends_with('_') && !function.starts_with("__");
        if in_place || OPERATORS.contains(&function) {
            Self::Write
        } else if CHANGES.contains(&function) {
            Self::Change
        } else if VIEWS.contains(&function) {
            Self::View
        } else if MAKES.split(' ').any(|name| name == function) {
            Self::Make
        } else {
            Self::Anything
        }
    }
}

/// Arguments to which a normalisation writes where it is told to, by the one before them in
/// the list: averages, in training alone.
pub(super) fn averages(function: &str) -> Option<([usize; 2], usize)> {
    matches!(function, "batch_norm" | "instance_norm" | "native_batch_norm").then_some(([3, 4], 5))
}
