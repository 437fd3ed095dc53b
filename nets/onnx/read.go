package onnx

import (
	"encoding/binary"
	"io"
	"math"
	"os"
	"slices"
	"strconv"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
	"google.golang.org/protobuf/proto"

	"github.com/trustbook/trustbook/nets"
)

const (
	// maxFile is the format's own limit: a protobuf message is smaller than 2 GiB.
	maxFile = 1 << 31
	// maxElements bounds the values of one tensor or of one image.
	maxElements = 1 << 30
)

// readFile reads the file, but none of its tensors yet: only those that the logits need must be whole.
func readFile(path string) (*protos.ModelProto, error) {
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return nil, errors.New("no such file")
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case info.Size() >= maxFile:
		return nil, errors.Errorf("%d bytes: an ONNX file has less than 2 GiB (larger weights go into files beside it)", info.Size())
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p := &protos.ModelProto{}
	if err := proto.Unmarshal(content, p); err != nil {
		return nil, errors.New("not an ONNX model, or truncated: the protobuf does not parse")
	}
	new(nets.Garbage).Add(len(content)) // p has copies
	if p.Graph == nil || len(p.Graph.Node) == 0 || len(p.Graph.Output) == 0 {
		return nil, errors.New("not an ONNX model, or truncated: it holds no graph")
	}
	if len(p.Functions) > 0 {
		return nil, errors.Errorf("it defines %d functions of its own: export with inlining (torch.onnx.export(..., optimize=True))",
			len(p.Functions))
	}
	if len(p.Graph.SparseInitializer) > 0 {
		return nil, errors.New("it holds sparse weights: not supported")
	}
	drop := func(t *protos.TensorProto) bool { return t == nil }
	p.Graph.Initializer = slices.DeleteFunc(p.Graph.Initializer, drop)
	p.Graph.Node = slices.DeleteFunc(p.Graph.Node, func(n *protos.NodeProto) bool { return n == nil })
	return p, nil
}

// loadTensors reads the weights inside the file and beside it, and checks that every tensor has the values that its shape
// tells, all of them as little-endian bytes in RawData.
func loadTensors(g *protos.GraphProto, path string) error {
	for _, t := range tensorsIn(g) {
		if err := loadTensor(t, path); err != nil {
			return errors.WithMessagef(err, "tensor %q", t.Name)
		}
	}
	return nil
}

// tensorsIn lists all initializers and tensor attributes of the graph.
func tensorsIn(g *protos.GraphProto) []*protos.TensorProto {
	all := slices.Clone(g.Initializer)
	for _, n := range g.Node {
		for _, a := range n.Attribute {
			if a.GetT() != nil {
				all = append(all, a.T)
			}
		}
	}
	return all
}

// loadTensor turns whatever way the tensor of the model at path stores its values into RawData.
func loadTensor(t *protos.TensorProto, path string) error {
	width, ok := elementBytes[protos.TensorProto_DataType(t.DataType)]
	if !ok {
		return errors.Errorf("holds %s: not supported", protos.TensorProto_DataType(t.DataType))
	}
	n := 1
	for _, d := range t.Dims {
		if d < 0 || d > maxElements || (d > 0 && n > maxElements/int(d)) {
			return errors.Errorf("impossible shape %v", t.Dims)
		}
		n *= int(d)
	}
	if t.Segment != nil {
		return errors.New("is split into segments: not supported")
	}
	if t.DataLocation == protos.TensorProto_EXTERNAL || len(t.ExternalData) > 0 {
		return loadExternal(t, path, n*width)
	}
	if len(t.RawData) == 0 {
		t.RawData = typedBytes(t)
	}
	t.FloatData, t.DoubleData, t.Int32Data, t.Int64Data, t.Uint64Data = nil, nil, nil, nil, nil
	if len(t.RawData) != n*width {
		return errors.Errorf("shape %v needs %d bytes, the file has %d", t.Dims, n*width, len(t.RawData))
	}
	return nil
}

var elementBytes = map[protos.TensorProto_DataType]int{
	protos.TensorProto_FLOAT: 4, protos.TensorProto_DOUBLE: 8, protos.TensorProto_INT64: 8, protos.TensorProto_INT32: 4,
	protos.TensorProto_BOOL: 1, protos.TensorProto_INT8: 1, protos.TensorProto_UINT8: 1, protos.TensorProto_INT16: 2,
	protos.TensorProto_UINT16: 2, protos.TensorProto_UINT32: 4, protos.TensorProto_UINT64: 8, protos.TensorProto_FLOAT16: 2,
	protos.TensorProto_BFLOAT16: 2,
}

// typedBytes encodes the values of the typed fields; ONNX keeps everything narrower than 64 bits in Int32Data.
func typedBytes(t *protos.TensorProto) []byte {
	var raw []byte
	le := binary.LittleEndian
	for _, v := range t.FloatData {
		raw = le.AppendUint32(raw, math.Float32bits(v))
	}
	for _, v := range t.DoubleData {
		raw = le.AppendUint64(raw, math.Float64bits(v))
	}
	for _, v := range t.Int64Data {
		raw = le.AppendUint64(raw, uint64(v))
	}
	wide := elementBytes[protos.TensorProto_DataType(t.DataType)]
	for _, v := range t.Uint64Data {
		raw = append(raw, le.AppendUint64(nil, v)[:wide]...)
	}
	for _, v := range t.Int32Data {
		raw = append(raw, le.AppendUint64(nil, uint64(v))[:wide]...)
	}
	return raw
}

// loadExternal reads values from a file beside the model at path, see openBeside.
func loadExternal(t *protos.TensorProto, path string, size int) error {
	var location string
	var offset int64
	length := int64(size)
	for _, e := range t.ExternalData {
		var err error
		switch e.GetKey() {
		case "location":
			location = e.Value
		case "offset":
			offset, err = strconv.ParseInt(e.Value, 10, 64)
		case "length":
			length, err = strconv.ParseInt(e.Value, 10, 64)
		}
		if err != nil {
			return errors.Errorf("external data: %s %q is no number", e.Key, e.Value)
		}
	}
	if length != int64(size) || offset < 0 {
		return errors.Errorf("external data at offset %d, %d bytes: shape %v needs %d", offset, length, t.Dims, size)
	}
	f, err := openBeside(path, location)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.Errorf("external data: %s is not a regular file", location)
	}
	if offset > info.Size()-int64(size) {
		return errors.Errorf("external data: %s has %d bytes, want %d at offset %d: truncated", location, info.Size(), size, offset)
	}
	t.RawData = make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(f, offset, int64(size)), t.RawData); err != nil {
		return err
	}
	t.ExternalData, t.DataLocation = nil, protos.TensorProto_DEFAULT
	return nil
}

// elements counts a checked tensor's values.
func elements(t *protos.TensorProto) int {
	n := 1
	for _, d := range t.Dims {
		n *= int(d)
	}
	return n
}

func dimsOf(t *protos.TensorProto) []int {
	dims := make([]int, len(t.Dims))
	for i, d := range t.Dims {
		dims[i] = int(d)
	}
	return dims
}

// floatsOf decodes a float32 tensor.
func floatsOf(t *protos.TensorProto) []float32 {
	values := make([]float32, len(t.RawData)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.RawData[4*i:]))
	}
	return values
}

// intsOf decodes an int64 tensor; nil for other types.
func intsOf(t *protos.TensorProto) []int64 {
	if t == nil || t.DataType != int32(protos.TensorProto_INT64) {
		return nil
	}
	values := make([]int64, len(t.RawData)/8)
	for i := range values {
		values[i] = int64(binary.LittleEndian.Uint64(t.RawData[8*i:]))
	}
	return values
}

// elementTypes are the types that values can have here.
var elementTypes = map[protos.TensorProto_DataType]dtypes.DType{
	protos.TensorProto_FLOAT: dtypes.Float32, protos.TensorProto_DOUBLE: dtypes.Float64, protos.TensorProto_FLOAT16: dtypes.Float16,
	protos.TensorProto_BFLOAT16: dtypes.BFloat16, protos.TensorProto_INT64: dtypes.Int64, protos.TensorProto_INT32: dtypes.Int32,
	protos.TensorProto_INT16: dtypes.Int16, protos.TensorProto_INT8: dtypes.Int8, protos.TensorProto_UINT64: dtypes.Uint64,
	protos.TensorProto_UINT32: dtypes.Uint32, protos.TensorProto_UINT16: dtypes.Uint16, protos.TensorProto_UINT8: dtypes.Uint8,
	protos.TensorProto_BOOL: dtypes.Bool,
}

// tensorOf makes a GoMLX tensor.
func tensorOf(t *protos.TensorProto) (*tensors.Tensor, error) {
	dtype, ok := elementTypes[protos.TensorProto_DataType(t.DataType)]
	if !ok {
		return nil, errors.Errorf("tensor %q holds %s: not supported", t.Name, protos.TensorProto_DataType(t.DataType))
	}
	value := tensors.FromShape(shapes.Make(dtype, dimsOf(t)...))
	if len(t.RawData) == 0 {
		return value, nil
	}
	return value, value.MutableBytes(func(data []byte) { copy(data, t.RawData) })
}

// weightOf makes a weight's tensor; weights that are not finite are an error.
func weightOf(t *protos.TensorProto) (*tensors.Tensor, error) {
	for i := 0; i < len(t.RawData); i += 4 { // as they lie: a copy of the largest weight may be half a gigabyte
		if v := math.Float32frombits(binary.LittleEndian.Uint32(t.RawData[i:])); v-v != 0 {
			return nil, errors.Errorf("weight %q: value %d is %g", t.Name, i/4, v)
		}
	}
	return tensorOf(t)
}

func floatTensor(name string, values []float32, dims ...int64) *protos.TensorProto {
	t := &protos.TensorProto{Name: name, DataType: int32(protos.TensorProto_FLOAT), Dims: dims, FloatData: values}
	t.RawData, t.FloatData = typedBytes(t), nil
	return t
}

func intTensor(name string, values []int64, dims ...int64) *protos.TensorProto {
	t := &protos.TensorProto{Name: name, DataType: int32(protos.TensorProto_INT64), Dims: dims, Int64Data: values}
	t.RawData, t.Int64Data = typedBytes(t), nil
	return t
}

func intAttribute(name string, value int64) *protos.AttributeProto {
	return &protos.AttributeProto{Name: name, Type: protos.AttributeProto_INT, I: value}
}

func floatAttribute(name string, value float32) *protos.AttributeProto {
	return &protos.AttributeProto{Name: name, Type: protos.AttributeProto_FLOAT, F: value}
}

func stringAttribute(name, value string) *protos.AttributeProto {
	return &protos.AttributeProto{Name: name, Type: protos.AttributeProto_STRING, S: []byte(value)}
}

func product(sizes []int) int {
	p := 1
	for _, s := range sizes {
		p *= s
	}
	return p
}
