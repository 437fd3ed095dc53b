package studytest

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fit"
)

// Keys checks that what is kept of a configuration C is found again by exactly what it depends on: key is what the cache
// key is made of. It must change with every setting of the configuration (its fields with a name in JSON), but for those
// in others, with which it must not.
func Keys[C any](t *testing.T, c C, key func(C) any, others ...string) {
	t.Helper()
	before := fit.Hash(key(c))
	for i, field := range reflect.VisibleFields(reflect.TypeFor[C]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" || name == "" {
			continue
		}
		changed := c
		change(t, reflect.ValueOf(&changed).Elem().Field(i))
		if slices.Contains(others, field.Name) {
			require.Equal(t, before, fit.Hash(key(changed)), "what is kept depends on %s", field.Name)
		} else {
			require.NotEqual(t, before, fit.Hash(key(changed)), "another %s finds what was kept", field.Name)
		}
	}
}

// change gives a setting another value.
func change(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Float64:
		v.SetFloat(v.Float() + 0.125)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Slice:
		v.Set(reflect.AppendSlice(reflect.MakeSlice(v.Type(), 1, 1), v))
	default:
		t.Fatalf("no other value for a %s", v.Type())
	}
}
