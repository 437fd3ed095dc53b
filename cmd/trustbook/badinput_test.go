package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// attackFolder holds a model and arrays that `attack` takes.
func attackFolder(t *testing.T) (dir string, args []string) {
	t.Helper()
	dir = t.TempDir()
	model, err := os.ReadFile(filepath.Join(home, "notebooks", "models", "mnist_cnn.onnx"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "m.onnx"), model, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "short.onnx"), model[:len(model)/2], 0o600))
	saveArray(t, filepath.Join(dir, "x.npy"), blobs(6), 6, 1, 28, 28)
	saveArray(t, filepath.Join(dir, "y.npy"), []int64{0, 1, 2, 3, 4, 5}, 6)
	return dir, []string{"attack", "--model", "m.onnx", "--inputs", "x.npy", "--labels", "y.npy", "--epsilon", "0.1", "--steps", "2",
		"--out", "adv.npy"}
}

// with replaces the value of a flag, or adds it.
func with(args []string, flag, value string) []string {
	args = slices.Clone(args)
	if i := slices.Index(args, flag); i >= 0 {
		args[i+1] = value
		return args
	}
	return append(args, flag, value)
}

// attackRefusals are flags, one of them changed from what works, and words of the refusal.
var attackRefusals = []struct {
	name, flag, value string
	words             []string
}{
	{"channels last", "--inputs", "last.npy", []string{"--inputs last.npy", "[6 28 28 1]"}},
	{"flat images", "--inputs", "flat.npy", []string{"--inputs flat.npy", "[n, ...]"}},
	{"NaN pixels", "--inputs", "nan.npy", []string{"--inputs nan.npy", "NaN", "[5,3]", "not finite"}},
	{"infinite pixels", "--inputs", "inf.npy", []string{"-Inf", "not finite"}},
	{"pixels outside", "--inputs", "outside.npy", []string{"1.5", "[0, 1]"}},
	{"no images", "--inputs", "none.npy", []string{"--inputs none.npy", "empty"}},
	{"truncated images", "--inputs", "short.npy", []string{"--inputs short.npy", "truncated"}},
	{"text for images", "--inputs", "text.npy", []string{"not a .npy file"}},
	{"labels for images", "--inputs", "y.npy", []string{"--inputs y.npy", "float32"}},
	{"missing images", "--inputs", "absent.npy", []string{"--inputs absent.npy", "no such file"}},
	{"label 10 of 10", "--labels", "ten.npy", []string{"--labels ten.npy", "label 10 at row 3", "10 classes", "0 to 9"}},
	{"label -1", "--labels", "minus.npy", []string{"label -1 at row 3"}},
	{"too few labels", "--labels", "five.npy", []string{"5 labels for 6"}},
	{"no labels", "--labels", "nolabels.npy", []string{"--labels nolabels.npy", "empty"}},
	{"float labels", "--labels", "floats.npy", []string{"int64"}},
	{"missing labels", "--labels", "absent.npy", []string{"no such file"}},
	{"target is the label", "--targets", "y.npy", []string{"--targets y.npy", "own label"}},
	{"target 10 of 10", "--targets", "ten.npy", []string{"--targets ten.npy", "10"}},
	{"missing model", "--model", "absent.onnx", []string{"--model absent.onnx", "no such file"}},
	{"truncated model", "--model", "short.onnx", []string{"--model short.onnx"}},
	{"array for a model", "--model", "x.npy", []string{"--model x.npy"}},
	{"epsilon -1", "--epsilon", "-1", []string{"--epsilon -1", ">= 0"}},
	{"epsilon NaN", "--epsilon", "NaN", []string{"--epsilon NaN", "finite"}},
	{"epsilon infinite", "--epsilon", "inf", []string{"finite"}},
	{"epsilon no number", "--epsilon", "big", []string{"big", "--epsilon"}},
	{"norm", "--norm", "l3", []string{"--norm l3", "linf, l2 or l1"}},
	{"attack", "--attack", "magic", []string{"--attack magic", "pgd"}},
	{"loss", "--loss", "mse", []string{"--loss mse"}},
	{"bounds reversed", "--bounds", "1,0", []string{"--bounds 1,0", "0,1"}},
	{"bounds of one", "--bounds", "1", []string{"--bounds 1"}},
	{"bounds infinite", "--bounds", "0,Inf", []string{"--bounds 0,Inf"}},
	{"bounds equal", "--bounds", "1,1", []string{"--bounds 1,1"}},
	{"bounds equal in float32", "--bounds", "1,1.00000000001", []string{"--bounds 1,1.00000000001"}},
	{"bounds NaN", "--bounds", "nan,1", []string{"--bounds nan,1"}},
	{"bounds of three", "--bounds", "0,1,2", []string{"--bounds 0,1,2"}},
	{"bounds beyond float32", "--bounds", "0,1e39", []string{"--bounds 0,1e39"}},
	{"epsilon minus infinity", "--epsilon", "-inf", []string{"--epsilon -Inf"}},
	{"steps", "--steps", "-1", []string{"--steps -1"}},
	{"no steps", "--steps", "0", []string{"--steps 0: must be at least 1"}},
	{"no queries", "--queries", "0", []string{"--queries 0: must be at least 1"}},
	{"no target classes", "--target-classes", "0", []string{"--target-classes 0: must be at least 1"}},
	{"negative restarts", "--restarts", "-3", []string{"--restarts -3: must be at least 1"}},
	{"no step size", "--step-size", "0", []string{"--step-size 0: must be finite and > 0"}},
	{"step size NaN", "--step-size", "nan", []string{"--step-size NaN"}},
	{"empty output's name", "--output", "", []string{"--output: is empty", "leave the flag out"}},
	{"empty targets", "--targets", "", []string{"--targets: is empty"}},
	{"empty out", "--out", "", []string{"--out: is empty"}},
	{"queries", "--queries", "-1", []string{"--queries -1"}},
	{"target classes", "--target-classes", "-2", []string{"--target-classes -2"}},
	{"restarts", "--restarts", "0", []string{"--restarts 0"}},
	{"batch size", "--batch-size", "0", []string{"--batch-size 0"}},
	{"step size", "--step-size", "-0.1", []string{"--step-size -0.1"}},
	{"step size infinite", "--step-size", "inf", []string{"--step-size"}},
	{"folder of the output", "--out", "absent/adv.npy", []string{"--out absent/adv.npy", "no folder"}},
	{"output over the input", "--out", "x.npy", []string{"--out x.npy", "--inputs"}},
	{"output is a folder", "--out", ".", []string{"--out ."}},
	{"backend", "--backend", "tpu", []string{"tpu", "xla:cpu"}},
}

// TestDecisionAttacksRefuse: what attacks by decisions do not have.
func TestDecisionAttacksRefuse(t *testing.T) {
	dir, good := attackFolder(t)
	at := slices.Index(good, "--steps")
	good = slices.Delete(good, at, at+2)
	for _, c := range []struct {
		attack, flag, value string
		words               []string
	}{
		{"rays", "--directions", "dct:8", []string{"--directions", "rays has no such setting", "--queries"}},
		{"rays", "--norm", "l2", []string{"--norm l2", "rays works in linf"}},
		{"boundary", "--norm", "linf", []string{"--norm linf", "boundary works in l2"}},
		{"hopskipjump", "--directions", "wavelet:3", []string{"--directions", "wavelet:3", "bilinear:SIDE"}},
		{"hopskipjump", "--directions", "bilinear:32", []string{"--directions bilinear", "reduced size 32 exceeds image 28"}},
		{"hopskipjump", "--queries", "1", []string{"--queries 1", "hopskipjump needs at least 2"}},
		{"sign-opt", "--queries", "50", []string{"--queries 50", "sign-opt needs at least 101"}},
	} {
		t.Run(c.attack+c.flag+c.value, func(t *testing.T) {
			fails(t, dir, command(dir, with(with(good, "--attack", c.attack), c.flag, c.value)...), wrongUse, c.words...)
		})
	}
}

func TestAttackRefuses(t *testing.T) {
	dir, good := attackFolder(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	saveArray(t, at("last.npy"), blobs(6), 6, 28, 28, 1)
	saveArray(t, at("flat.npy"), blobs(6), 6*28*28)
	nan, inf, outside := blobs(6), blobs(6), blobs(6)
	nan[5*784+3], inf[9], outside[784] = float32(math.NaN()), float32(math.Inf(-1)), 1.5
	saveArray(t, at("nan.npy"), nan, 6, 1, 28, 28)
	saveArray(t, at("inf.npy"), inf, 6, 1, 28, 28)
	saveArray(t, at("outside.npy"), outside, 6, 1, 28, 28)
	saveArray(t, at("none.npy"), []float32{}, 0, 1, 28, 28)
	saveArray(t, at("nolabels.npy"), []int64{}, 0)
	saveArray(t, at("ten.npy"), []int64{0, 1, 2, 10, 4, 5}, 6)
	saveArray(t, at("minus.npy"), []int64{0, 1, 2, -1, 4, 5}, 6)
	saveArray(t, at("five.npy"), []int64{0, 1, 2, 3, 4}, 5)
	saveArray(t, at("floats.npy"), []float64{0, 1, 2, 3, 4, 5}, 6)
	whole, err := os.ReadFile(at("x.npy"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(at("short.npy"), whole[:len(whole)-100], 0o600))
	require.NoError(t, os.WriteFile(at("text.npy"), []byte("not an array\n"), 0o600))

	for _, c := range attackRefusals {
		t.Run(c.name, func(t *testing.T) { fails(t, dir, command(dir, with(good, c.flag, c.value)...), wrongUse, c.words...) })
	}
	for _, c := range []struct {
		attack, flag, value string
		words               []string
	}{
		{"pgd", "--queries", "5", []string{"--queries", "pgd has no such setting", "--steps"}},
		{"square", "--steps", "5", []string{"--steps", "square", "--queries, --restarts"}},
		{"autoattack", "--loss", "dlr", []string{"--loss", "autoattack", "--state"}},
		{"mim", "--restarts", "2", []string{"--restarts", "mim"}},
		{"cw", "--norm", "linf", []string{"--norm linf", "cw works in l2"}},
		{"deepfool", "--norm", "l1", []string{"--norm l1", "linf, l2"}},
		{"apgd", "--target-classes", "10", []string{"--target-classes 10", "9 other classes"}},
		{"fab", "--target-classes", "99", []string{"--target-classes 99", "9 other classes"}},
	} {
		t.Run(c.attack+c.flag, func(t *testing.T) {
			fails(t, dir, command(dir, with(with(good, "--attack", c.attack), c.flag, c.value)...), wrongUse, c.words...)
		})
	}
	t.Run("targets of two kinds", func(t *testing.T) {
		saveArray(t, at("t.npy"), []int64{1, 2, 3, 4, 5, 6}, 6)
		args := with(with(good, "--targets", "t.npy"), "--attack", "apgd")
		fails(t, dir, command(dir, with(args, "--target-classes", "3")...), wrongUse, "--targets", "leave out --target-classes")
		fails(t, dir, command(dir, append(with(good, "--targets", "t.npy"), "--multi-target")...), wrongUse, "--multi-target")
	})
	t.Run("always the same of several", func(t *testing.T) {
		args := with(with(with(with(good, "--steps", "0"), "--target-classes", "0"), "--queries", "0"), "--restarts", "0")
		for range 8 {
			fails(t, dir, command(dir, args...), wrongUse, "--steps 0")
		}
		for range 8 {
			fails(t, dir, command(dir, with(with(good, "--queries", "-1"), "--target-classes", "-1")...), wrongUse, "--queries -1")
		}
		for range 8 {
			fails(t, dir, command(dir, with(with(good, "--labels", "x.npy"), "--out", "x.npy")...), wrongUse, "--inputs")
		}
	})
	t.Run("missing flags", func(t *testing.T) {
		fails(t, dir, command(dir, "attack", "--model", "m.onnx"), wrongUse, "epsilon", "inputs", "labels", "trustbook attack --help")
	})
}

func TestWeightsRefuses(t *testing.T) {
	dir, _ := attackFolder(t)
	good := []string{"weights", "--model", "m.onnx", "--inputs", "x.npy", "--labels", "y.npy", "--epsilon", "0.001"}
	saveArray(t, filepath.Join(dir, "high.npy"), []int64{0, 1, 2, 3, 4, 99}, 6)
	for _, c := range []struct {
		flag, value string
		words       []string
	}{
		{"--model", "absent.onnx", []string{"--model absent.onnx"}},
		{"--model", "short.onnx", []string{"--model short.onnx"}},
		{"--labels", "high.npy", []string{"--labels high.npy", "99"}},
		{"--inputs", "y.npy", []string{"--inputs y.npy"}},
		{"--epsilon", "0", []string{"--epsilon 0", "> 0"}},
		{"--epsilon", "-1", []string{"--epsilon -1"}},
		{"--epsilon", "inf", []string{"--epsilon +Inf", "finite"}},
		{"--epsilon", "nan", []string{"--epsilon NaN"}},
		{"--steps", "0", []string{"--steps 0"}},
		{"--restarts", "-1", []string{"--restarts -1"}},
		{"--draws", "0", []string{"--draws 0"}},
		{"--batch-size", "0", []string{"--batch-size 0"}},
		{"--bits", "8,1", []string{"--bits 1", "2 to 16"}},
		{"--bits", "many", []string{"--bits", "many"}},
		{"--bounds", "1,0", []string{"--bounds 1,0"}},
		{"--scale", "0", []string{"--scale 0", "1/255"}},
		{"--output", "", []string{"--output: is empty"}},
		{"--backend", "tpu", []string{"tpu", "xla:cpu"}},
	} {
		t.Run(c.flag+c.value, func(t *testing.T) { fails(t, dir, command(dir, with(good, c.flag, c.value)...), wrongUse, c.words...) })
	}
	t.Run("missing flags", func(t *testing.T) {
		fails(t, dir, command(dir, "weights", "--model", "m.onnx"), wrongUse, "epsilon", "inputs", "labels", "trustbook weights --help")
	})
}

func TestWrongUse(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	for _, c := range []struct {
		args  []string
		words []string
	}{
		{[]string{"dance"}, []string{`no command "dance"`, "trustbook --help"}},
		{[]string{"help", "dance"}, []string{`no command "dance"`}},
		{[]string{"--dance"}, []string{"unknown flag: --dance"}},
		{[]string{"data", "dance"}, []string{`no command "dance"`, "trustbook data --help"}},
		{[]string{"kernel", "dance"}, []string{`no command "dance"`}},
		{[]string{"doctor", "dance"}, []string{`"dance"`}},
		{[]string{"list", "--results", "file"}, []string{"--results file", "not a folder"}},
		{[]string{"data", "fetch"}, []string{"NAME"}},
		{[]string{"data", "verify", "imagenet"}, []string{`"imagenet"`, "mnist, fashion-mnist"}},
		{[]string{"replicate"}, []string{"PAPER"}},
		{[]string{"replicate", "a", "b"}, []string{`"b"`}},
		{[]string{"replicate", "1706.03762"}, []string{`"1706.03762"`, "robust/joint (2102.11935)"}},
		{[]string{"replicate", "robust/joint", "--scale", "huge"}, []string{`"huge"`, "smoke, quick or paper"}},
		{[]string{"replicate", "robust/joint", "--dataset", "imagenet"}, []string{`"imagenet"`, "mnist"}},
		{[]string{"replicate", "robust/joint", "--set", "dataset=imagenet"}, []string{`"imagenet"`}},
		{[]string{"replicate", "robust/joint", "--seeds", "one"}, []string{"--seeds"}},
		{[]string{"replicate", "robust/joint", "--seeds", "1,1"}, []string{"seed 1", "twice"}},
		{[]string{"replicate", "robust/joint", "--set", "train"}, []string{"--set train", "KEY=VALUE"}},
		{[]string{"replicate", "robust/joint", "--set", "tain=3"}, []string{"--set tain=3", "train"}},
		{[]string{"replicate", "robust/joint", "--set", "hidden=16"}, []string{"--set hidden=16", "a list"}},
		{[]string{"replicate", "robust/joint", "--set", "train=many"}, []string{"--set train=many", "whole number"}},
		{[]string{"replicate", "robust/joint", "--set", "train=0"}, []string{"--set train=0", "default"}},
		{[]string{"replicate", "robust/joint", "--set", "methods=[]"}, []string{"--set methods=[]"}},
		{[]string{"replicate", "robust/joint", "--set", "learning_rate=0.0"}, []string{"learning_rate"}},
		{[]string{"replicate", "robust/joint", "--set", "train=1.5"}, []string{"--set train=1.5", "whole number"}},
		{[]string{"replicate", "robust/joint", "--seeds", ""}, []string{"--seeds"}},
		{[]string{"replicate", "robust/joint", "--set", "train=-1"}, []string{"train = -1", "at least 1"}},
		{[]string{"replicate", "robust/joint", "--set", "epsilon_input=[0,-1]"}, []string{"epsilon_input"}},
		{[]string{"replicate", "robust/joint", "--set", `methods=["Magic"]`}, []string{"Magic"}},
		{[]string{"replicate", "robust/joint", "--out", "file"}, []string{"--out file", "not a folder"}},
		{[]string{"replicate", "robust/joint", "--model", "m.onnx"}, []string{"--model", "robust/vit"}},
		{[]string{"replicate", "robust/vit", "--model", "m.onnx"}, []string{"belong together"}},
		{[]string{"replicate", "robust/weights", "--set", "bits=[1]"}, []string{"1 bits", "2 to 16"}},
		{[]string{"replicate", "fewshot/maml", "--dataset", "mnist"}, []string{`dataset "mnist"`, "omniglot"}},
		{[]string{"replicate", "fewshot/maml", "--set", "epsilon=16"}, []string{"did you mean 16/255"}},
		{[]string{"replicate", "robust/weights", "--set", "lambdas=[0.1]"}, []string{"must start at 0"}},
		{[]string{"replicate", "robust/vit", "--set", "patch=-1"}, []string{"patch"}},
		{[]string{"replicate", "robust/vit", "--set", "reference=0.07"}, []string{"reference = 0.07"}},
		{[]string{"replicate", "robust/joint", "--backend", "tpu"}, []string{"tpu"}},
		{[]string{"replicate", "robust/joint", "--set", "learning_rate=1e-400"}, []string{"--set learning_rate=1e-400", "default"}},
		{[]string{"replicate", "robust/joint", "--dataset", ""}, []string{"--dataset: is empty"}},
		{[]string{"replicate", "robust/joint", "--out", ""}, []string{"--out: is empty"}},
		{[]string{"replicate", "fewshot/maml", "--set", "ways=1"}, []string{"ways = 1", "at least 2"}},
		{[]string{"replicate", "scoring", "--shard", ""}, []string{"--shard: is empty"}},
		{[]string{"list", "--results", ""}, []string{"--results: is empty"}},
		{[]string{"ledger", "--results", ""}, []string{"--results: is empty"}},
		{[]string{"data", "list", "--data-dir", ""}, []string{"--data-dir: is empty"}},
		{[]string{"ledger"}, []string{"--results results", "trustbook replicate"}},
		{[]string{"ledger", "--results", "."}, []string{"claims.json"}},
	} {
		t.Run(c.args[0], func(t *testing.T) { fails(t, dir, command(dir, c.args...), wrongUse, c.words...) })
	}
}

// Damaged data and a missing plugin are failures: the command line is right.
func TestFailures(t *testing.T) {
	dir, attackArgs := attackFolder(t)
	mnist := filepath.Join(dir, "mnist")
	require.NoError(t, os.Mkdir(mnist, 0o700))
	for i, name := range []string{"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"} {
		head := []byte{0, 0, 8, 3, 0, 0, 0xea, 0x60, 0, 0, 0, 28, 0, 0, 0, 28} // 60,000 images, and none follow
		if i%2 == 1 {
			head = []byte{0, 0, 8, 1, 0, 0, 0xea, 0x60}
		}
		require.NoError(t, os.WriteFile(filepath.Join(mnist, name), append(head, make([]byte, 1000)...), 0o600))
	}
	for _, args := range [][]string{
		{"data", "verify", "mnist", "--data-dir", "mnist"},
		{"replicate", "robust/joint", "--scale", "smoke", "--data-dir", "mnist", "--out", "run"},
	} {
		t.Run("truncated IDX "+args[0], func(t *testing.T) { fails(t, dir, command(dir, args...), failed, "train-images-idx3-ubyte") })
	}
	t.Run("no data", func(t *testing.T) {
		fails(t, dir, command(dir, "replicate", "robust/joint", "--scale", "smoke", "--data-dir", "absent", "--out", "run"), failed, "absent")
	})
	for _, args := range [][]string{attackArgs, {"replicate", "robust/joint", "--scale", "smoke", "--out", "run"}} {
		t.Run("plugin that is no file "+args[0], func(t *testing.T) {
			fails(t, dir, command(dir, with(args, "--backend", "xla:/absent/plugin.so")...), failed, "/absent/plugin.so")
		})
		t.Run("no plugin "+args[0], func(t *testing.T) {
			if found, _ := filepath.Glob("/usr/local/lib/go*xla/*"); len(found) > 0 {
				t.Skip("go-xla's plugins are installed for all of this machine: none can be missing")
			}
			c := command(dir, args...)
			c.Env = []string{"HOME=" + dir, "PATH=" + dir}
			fails(t, dir, c, failed, "plugin", "pip install xla-cpu-pjrt")
		})
	}
}
