package onnx

// numberOperators are the operators that compute one number from one number, or from two and more at the same place.
func numberOperators() map[string]operator {
	return map[string]operator{
		"Abs":                   {"1 6 13", "1-1", once, elementwise(abs)},
		"Acos":                  {"7 22", "1-1", "", elementwise(acos)},
		"Acosh":                 {"9 22", "1-1", "", elementwise(acosh)},
		"Add":                   {"1 6 7 13 14", "2-2", oldBinary, operands(add)},
		"And":                   {"1 7", "2-2", "axis:i<7 broadcast:i<7", operands(and)},
		"Asin":                  {"7 22", "1-1", "", elementwise(asin)},
		"Asinh":                 {"9 22", "1-1", "", elementwise(asinh)},
		"Atan":                  {"7 22", "1-1", "", elementwise(atan)},
		"Atanh":                 {"9 22", "1-1", "", elementwise(atanh)},
		"Cast":                  {"1 6 9 13 19 21 23 24 25 28", "1-1", "to:s<6 to:i@6 saturate:i@19! round_mode:s@24!", (*values).cast},
		"CastLike":              {"15 19 21 23 24 25", "2-2", "saturate:i@19! round_mode:s@24!", (*values).castLike},
		"Ceil":                  {"1 6 13", "1-1", once, elementwise(ceil)},
		"Celu":                  {"12 28", "1-1", "alpha:f", (*values).activation},
		"Clip":                  {"1 6 11 12 13", "1-1 1-3@11", "min:f<11 max:f<11 consumed_inputs:is<6!", (*values).clip},
		"Cos":                   {"7 22", "1-1", "", elementwise(cos)},
		"Cosh":                  {"9 22", "1-1", "", elementwise(cosh)},
		"DequantizeLinear":      {"10 13 19 21 23 24 25 28", "2-3", "axis:i@13 block_size:i@21 output_dtype:i@23", (*values).dequantize},
		"Div":                   {"1 6 7 13 14", "2-2", oldBinary, operands(div)},
		"DynamicQuantizeLinear": {"11", "1-1", "", (*values).dynamicQuantize},
		"Elu":                   {"1 6 22", "1-1", "alpha:f consumed_inputs:is<6!", (*values).activation},
		"Equal":                 {"1 7 11 13 19", "2-2", "axis:i<7 broadcast:i<7", operands(equal)},
		"Erf":                   {"9 13", "1-1", "", elementwise(erf)},
		"Exp":                   {"1 6 13", "1-1", once, elementwise(exp)},
		"Floor":                 {"1 6 13", "1-1", once, elementwise(floor)},
		"Gelu":                  {"20", "1-1", "approximate:s", (*values).activation},
		"Greater":               {"1 7 9 13", "2-2", "axis:i<7 broadcast:i<7", operands(greater)},
		"GreaterOrEqual":        {"12 16", "2-2", "", operands(greaterOrEqual)},
		"HardSigmoid":           {"1 6 22", "1-1", "alpha:f beta:f consumed_inputs:is<6!", (*values).activation},
		"HardSwish":             {"14 22", "1-1", "", (*values).activation},
		"IsInf":                 {"10 20", "1-1", "detect_negative:i detect_positive:i", (*values).isInf},
		"IsNaN":                 {"9 13 20", "1-1", "", elementwise(isNaN)},
		"LeakyRelu":             {"1 6 16", "1-1", "alpha:f consumed_inputs:is<6!", (*values).activation},
		"Less":                  {"1 7 9 13", "2-2", "axis:i<7 broadcast:i<7", operands(less)},
		"LessOrEqual":           {"12 16", "2-2", "", operands(lessOrEqual)},
		"Log":                   {"1 6 13", "1-1", once, elementwise(log)},
		"Max":                   {"1 6 8 12 13", "1-*", once, variadic(maximum)},
		"Mean":                  {"1 6 8 13", "1-*", once, (*values).mean},
		"Min":                   {"1 6 8 12 13", "1-*", once, variadic(minimum)},
		"Mish":                  {"18 22", "1-1", "", (*values).activation},
		"MatMulInteger":         {"10", "2-4", "", (*values).matMulInteger},
		"Mod":                   {"10 13 28", "2-2", "fmod:i", (*values).mod},
		"Mul":                   {"1 6 7 13 14", "2-2", oldBinary, operands(mul)},
		"Neg":                   {"1 6 13", "1-1", once, elementwise(neg)},
		"Not":                   {"1", "1-1", "", elementwise(not)},
		"Or":                    {"1 7", "2-2", "axis:i<7 broadcast:i<7", operands(or)},
		"PRelu":                 {"1 6 7 9 16", "2-2", once, (*values).prelu},
		"Pow":                   {"1 7 12 13 15", "2-2", "axis:i<7 broadcast:i<7", (*values).pow},
		"QLinearMatMul":         {"10 21", "8-8", "", (*values).qLinearMatMul},
		"QuantizeLinear": {"10 13 19 21 23 24 25 28", "2-3",
			"axis:i@13 saturate:i@19! block_size:i@21 output_dtype:i@21 precision:i@23!", (*values).quantize},
		"Reciprocal":      {"1 6 13", "1-1", once, elementwise(reciprocal)},
		"Relu":            {"1 6 13 14", "1-1", once, (*values).activation},
		"Round":           {"11 22", "1-1", "", elementwise(round)},
		"Selu":            {"1 6 22", "1-1", "alpha:f gamma:f consumed_inputs:is<6!", (*values).activation},
		"Shrink":          {"9", "1-1", "bias:f lambd:f", (*values).activation},
		"Sigmoid":         {"1 6 13", "1-1", once, (*values).activation},
		"Sign":            {"9 13", "1-1", "", elementwise(sign)},
		"Sin":             {"7 22", "1-1", "", elementwise(sin)},
		"Sinh":            {"9 22", "1-1", "", elementwise(sinh)},
		"Softplus":        {"1 22", "1-1", "", (*values).activation},
		"Softsign":        {"1 22", "1-1", "", (*values).activation},
		"Sqrt":            {"1 6 13", "1-1", once, elementwise(sqrt)},
		"Sub":             {"1 6 7 13 14", "2-2", oldBinary, operands(sub)},
		"Sum":             {"1 6 8 13", "1-*", once, variadic(add)},
		"SwiGLU":          {"28", "2-2", "alpha:f", (*values).swiGLU},
		"Swish":           {"24", "1-1", "alpha:f", (*values).activation},
		"Tan":             {"7 22", "1-1", "", elementwise(tan)},
		"Tanh":            {"1 6 13", "1-1", once, (*values).activation},
		"ThresholdedRelu": {"10 22", "1-1", "alpha:f", (*values).activation},
		"Where":           {"9 16", "3-3", "", (*values).where},
		"Xor":             {"1 7", "2-2", "axis:i<7 broadcast:i<7", operands(xor)},
	}
}

// imageOperators are those that look at images: convolutions, poolings, borders and sizes.
func imageOperators() map[string]operator {
	return map[string]operator{
		"AffineGrid":        {"20", "2-2", "align_corners:i", (*values).affineGrid},
		"AveragePool":       {"1 7 10 11 19 22", "1-1", window + " count_include_pad:i@7 ceil_mode:i@10 dilations:is@19", (*values).averagePool},
		"CenterCropPad":     {"18", "2-2", "axes:is", (*values).centerCropPad},
		"Col2Im":            {"18", "3-3", "dilations:is pads:is strides:is", (*values).col2Im},
		"Conv":              {"1 11 22", "2-3", window + " dilations:is group:i", (*values).conv},
		"ConvInteger":       {"10", "2-4", window + " dilations:is group:i", (*values).convInteger},
		"ConvTranspose":     {"1 11 22", "2-3", window + " dilations:is group:i output_padding:is output_shape:is", (*values).convTranspose},
		"DepthToSpace":      {"1 11 13 28", "1-1", "blocksize:i mode:s@11", (*values).depthToSpace},
		"GlobalAveragePool": {"1 22", "1-1", "", (*values).globalAverage},
		"GlobalLpPool":      {"1 2 22", "1-1", "p:f<2 p:i@2", (*values).globalLp},
		"GlobalMaxPool":     {"1 22", "1-1", "", (*values).globalMaximum},
		"GridSample":        {"16 20 22", "2-2", "align_corners:i mode:s padding_mode:s", (*values).gridSample},
		"LRN":               {"1 13", "1-1", "alpha:f beta:f bias:f size:i", (*values).lrn},
		"LpPool":            {"1 2 11 18 22", "1-1", window + " p:f<2 p:i@2 ceil_mode:i@18 dilations:is@18", (*values).lpPool},
		"MaxPool":           {"1 8 10 11 12 22", "1-1", window + " storage_order:i@8! ceil_mode:i@10 dilations:is@10", (*values).maxPool},
		"Pad":               {"1 2 11 13 18 19 21 23 24 25", "1-1 2-3@11 2-4@18", "mode:s paddings:is<2 pads:is@2<11 value:f<11", (*values).pad},
		"QLinearConv":       {"10", "8-9", window + " dilations:is group:i", (*values).qLinearConv},
		"Resize": {"10 11 13 18 19", "2-2 3-4@11 1-4@13", "mode:s coordinate_transformation_mode:s@11 cubic_coeff_a:f@11 " +
			"exclude_outside:i@11 extrapolation_value:f@11 nearest_mode:s@11 antialias:i@18 axes:is@18 " +
			"keep_aspect_ratio_policy:s@18", (*values).resize},
		"SpaceToDepth": {"1 13 28", "1-1", "blocksize:i mode:s@28", (*values).spaceToDepth},
		"Upsample":     {"1 7 9 10", "1-1 2-2@9", "mode:s height_scale:f<7 width_scale:f<7 scales:fs@7<9", (*values).upsample},
	}
}

// shapeOperators are those that arrange values, cut and join them, and look them up.
func shapeOperators() map[string]operator {
	return map[string]operator{
		"Concat": {"1 4 11 13", "1-*", "axis:i", (*values).concat},
		"Constant": {"1 9 11 12 13 19 21 23 24 25", "0-0", "value:t sparse_value:sparse@11 value_float:f@12 " +
			"value_floats:fs@12 value_int:i@12 value_ints:is@12 value_string:s@12 value_strings:ss@12", replaced},
		"ConstantOfShape": {"9 20 21 23 24 25", "1-1", "value:t", (*values).constantOfShape},
		"Dropout":         {"1 6 7 10 12 13 22", "1-1 1-3@12", "ratio:f<12! is_test:i<7 consumed_inputs:is<6! seed:i@12!", (*values).dropout},
		"Expand":          {"8 13", "2-2", "", (*values).expand},
		"EyeLike":         {"9 22", "1-1", "dtype:i k:i", (*values).eyeLike},
		"Flatten":         {"1 9 11 13 21 23 24 25", "1-1", "axis:i", (*values).flatten},
		"Gather":          {"1 11 13", "2-2", "axis:i", (*values).gather},
		"GatherElements":  {"11 13", "2-2", "axis:i", (*values).gatherElements},
		"GatherND":        {"11 12 13", "2-2", "batch_dims:i@12", (*values).gatherND},
		"Identity":        {"1 13 14 16 19 21 23 24 25", "1-1", "", (*values).identity},
		"OneHot":          {"9 11 28", "3-3", "axis:i", (*values).oneHot},
		"Range":           {"11 27", "3-3", "stash_type:i@27!", (*values).sequence},
		"Reshape":         {"1 5 13 14 19 21 23 24 25", "1-1 2-2@5", "consumed_inputs:is<5! shape:is<5 allowzero:i@14", (*values).reshape},
		"ReverseSequence": {"10 28", "2-2", "batch_axis:i time_axis:i", (*values).reverseSequence},
		"Scatter":         {"9 11", "3-3", "axis:i", (*values).scatterElements},
		"ScatterElements": {"11 13 16 18", "3-3", "axis:i reduction:s@16", (*values).scatterElements},
		"ScatterND":       {"11 13 16 18", "3-3", "reduction:s@16", (*values).scatterND},
		"Shape":           {"1 13 15 19 21 23 24 25", "1-1", "start:i@15 end:i@15", (*values).shape},
		"Size":            {"1 13 19 21 23 24 25", "1-1", "", (*values).size},
		"Slice":           {"1 10 11 13", "1-1 3-5@10", "starts:is<10 ends:is<10 axes:is<10", (*values).slice},
		"Split":           {"1 2 11 13 18", "1-2 1-1@2 1-2@13", "axis:i split:is<13 num_outputs:i@18", (*values).split},
		"Squeeze":         {"1 11 13 21 23 24 25", "1-1 1-2@13", "axes:is<13", (*values).squeeze},
		"Tile":            {"1 6 13", "3-3 2-2@6", "", (*values).tile},
		"Transpose":       {"1 13 21 23 24 25", "1-1", "perm:is", (*values).transpose},
		"Trilu":           {"14", "1-2", "upper:i", (*values).trilu},
		"Unsqueeze":       {"1 11 13 21 23 24 25", "1-1 2-2@13", "axes:is<13", (*values).unsqueeze},
	}
}

// lineOperators are those that compute along axes: products, reductions and normalizations.
func lineOperators() map[string]operator {
	return map[string]operator{
		"ArgMax": {"1 11 12 13", "1-1", "axis:i keepdims:i select_last_index:i@12", argMinMax(true)},
		"ArgMin": {"1 11 12 13", "1-1", "axis:i keepdims:i select_last_index:i@12", argMinMax(false)},
		"BatchNormalization": {"1 6 7 9 14 15", "5-5", "epsilon:f momentum:f! consumed_inputs:is<6! is_test:i<7 " +
			"spatial:i<9 training_mode:i@14", (*values).batchNorm},
		"CumSum":                    {"11 14", "2-2", "exclusive:i reverse:i", (*values).cumSum},
		"Einsum":                    {"12 28", "1-*", "equation:s", (*values).einsum},
		"Gemm":                      {"1 6 7 9 11 13", "3-3 2-3@11", "alpha:f beta:f transA:i transB:i broadcast:i<7!", (*values).gemm},
		"GroupNormalization":        {"18 21", "3-3", "epsilon:f num_groups:i stash_type:i@21!", (*values).groupNorm},
		"Hardmax":                   {"1 11 13", "1-1", "axis:i", (*values).softmax},
		"InstanceNormalization":     {"1 6 22", "3-3", "epsilon:f consumed_inputs:is<6!", (*values).instanceNorm},
		"LayerNormalization":        {"1 17", "2-3", "axis:i epsilon:f stash_type:i!", (*values).layerNorm},
		"LogSoftmax":                {"1 11 13", "1-1", "axis:i", (*values).softmax},
		"LpNormalization":           {"1 22", "1-1", "axis:i p:i", (*values).lpNorm},
		"MatMul":                    {"1 9 13", "2-2", "", (*values).matMul},
		"MeanVarianceNormalization": {"9 13", "1-1", "axes:is", (*values).meanVarianceNorm},
		"RMSNormalization":          {"23", "2-2", "axis:i epsilon:f stash_type:i!", (*values).rmsNorm},
		"ReduceL1":                  {"1 11 13 18", "1-1 1-2@18", reduce, reduction(reduceL1)},
		"ReduceL2":                  {"1 11 13 18", "1-1 1-2@18", reduce, reduction(reduceL2)},
		"ReduceLogSum":              {"1 11 13 18 28", "1-1 1-2@18", reduce, reduction(reduceLogSum)},
		"ReduceLogSumExp":           {"1 11 13 18 28", "1-1 1-2@18", reduce, reduction(reduceLogSumExp)},
		"ReduceMax":                 {"1 11 12 13 18 20", "1-1 1-2@18", reduce, reduction(reduceMax)},
		"ReduceMean":                {"1 11 13 18", "1-1 1-2@18", reduce, reduction(reduceMean)},
		"ReduceMin":                 {"1 11 12 13 18 20", "1-1 1-2@18", reduce, reduction(reduceMin)},
		"ReduceProd":                {"1 11 13 18", "1-1 1-2@18", reduce, reduction(reduceProd)},
		"ReduceSum":                 {"1 11 13", "1-1 1-2@13", "keepdims:i axes:is<13 noop_with_empty_axes:i@13", reduction(reduceSum)},
		"ReduceSumSquare":           {"1 11 13 18", "1-1 1-2@18", reduce, reduction(reduceSumSquare)},
		"Softmax":                   {"1 11 13", "1-1", "axis:i", (*values).softmax},
		"TopK":                      {"1 10 11 24", "1-1 2-2@10", "axis:i k:i<10 largest:i@11 sorted:i@11!", (*values).topK},
	}
}

const recurrent = "activation_alpha:fs activation_beta:fs activations:ss clip:f direction:s hidden_size:i layout:i@14 output_sequence:i<7!"

// sequenceOperators are those that look along sequences: recurrent layers and attention.
func sequenceOperators() map[string]operator {
	return map[string]operator{
		"Attention": {"23 24 25", "3-6 3-7@24", "is_causal:i kv_num_heads:i q_num_heads:i qk_matmul_output_mode:i scale:f softcap:f " +
			"softmax_precision:i left_window_size:i@25 right_window_size:i@25", (*values).attention},
		"GRU":             {"1 3 7 14 22", "3-6", recurrent + " linear_before_reset:i@3", (*values).recurrent},
		"LSTM":            {"1 7 14 22", "3-8", recurrent + " input_forget:i", (*values).recurrent},
		"RNN":             {"1 7 14 22", "3-6", recurrent, (*values).recurrent},
		"RotaryEmbedding": {"23", "3-4", "interleaved:i num_heads:i rotary_embedding_dim:i", (*values).rotaryEmbedding},
	}
}

const treeNodes = "nodes_falsenodeids:is nodes_featureids:is nodes_hitrates:fs! nodes_hitrates_as_tensor:t@3! " +
	"nodes_missing_value_tracks_true:is nodes_modes:ss nodes_nodeids:is nodes_treeids:is nodes_truenodeids:is nodes_values:fs " +
	"nodes_values_as_tensor:t@3 base_values:fs base_values_as_tensor:t@3 post_transform:s "

// mlOperators are those of scikit-learn's converter.
func mlOperators() map[string]operator {
	return map[string]operator{
		domainML + ".Imputer": {"1", "1-1", "imputed_value_floats:fs imputed_value_int64s:is replaced_value_float:f replaced_value_int64:i",
			(*values).imputer},
		domainML + ".Scaler":     {"1", "1-1", "offset:fs scale:fs", (*values).scaler},
		domainML + ".Normalizer": {"1", "1-1", "norm:s", (*values).normalizer},
		domainML + ".LinearClassifier": {"1", "1-1", "classlabels_ints:is! classlabels_strings:ss! coefficients:fs " +
			"intercepts:fs multi_class:i! post_transform:s", replaced},
		domainML + ".TreeEnsemble": {"5", "1-1", "aggregate_function:i leaf_targetids:is leaf_weights:t membership_values:t n_targets:i " +
			"nodes_falseleafs:is nodes_falsenodeids:is nodes_featureids:is nodes_hitrates:t! nodes_missing_value_tracks_true:is nodes_modes:t " +
			"nodes_splits:t nodes_trueleafs:is nodes_truenodeids:is post_transform:i tree_roots:is", (*values).trees},
		domainML + ".TreeEnsembleClassifier": {"1 3 5", "1-1", treeNodes + "class_ids:is class_nodeids:is class_treeids:is class_weights:fs " +
			"class_weights_as_tensor:t@3 classlabels_int64s:is classlabels_strings:ss", (*values).trees},
		domainML + ".TreeEnsembleRegressor": {"1 3 5", "1-1", treeNodes + "aggregate_function:s n_targets:i target_ids:is target_nodeids:is " +
			"target_treeids:is target_weights:fs target_weights_as_tensor:t@3", (*values).trees},
	}
}
