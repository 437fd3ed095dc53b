package nets

import (
	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/support/exceptions"
)

func (v *values) resize(*protos.NodeProto)   { exceptions.Panicf("not yet") }
func (v *values) upsample(*protos.NodeProto) { exceptions.Panicf("not yet") }
func (v *values) convTranspose(*protos.NodeProto) {
	exceptions.Panicf("not yet")
}
