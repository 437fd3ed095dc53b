package study

import (
	"fmt"
	"reflect"
)

// Config is what every study's configuration can do. It has the fields that the package's doc lists, too.
type Config[C any] interface {
	WithDefaults() C // with the zero fields filled in
	Validate() error // what cannot work, before anything runs; expects the defaults
	Tasks() int      // how many tasks its run reports to the progress
}

// Field is the address of a field that every study's Config has, such as Seeds. It panics where the configuration lacks
// it: a mistake of whoever wrote the study.
func Field[T any](config any, name string) *T {
	field := reflect.ValueOf(config).Elem().FieldByName(name)
	if !field.IsValid() {
		panic(fmt.Sprintf("study: %T has no field %s", config, name))
	}
	address, ok := field.Addr().Interface().(*T)
	if !ok {
		panic(fmt.Sprintf("study: field %s of %T is a %s, want %T", name, config, field.Type(), *new(T)))
	}
	return address
}

// Default fills in a list that is empty.
func Default[T any](list *[]T, want ...T) {
	if len(*list) == 0 {
		*list = want
	}
}
