// Package remote asks a model behind an HTTP endpoint, by the Open Inference Protocol, version 2, over REST, as KServe,
// Triton, MLServer, OpenVINO Model Server and TorchServe speak it (https://github.com/kserve/open-inference-protocol).
// It knows nothing of attacks: robust.NewRemoteVictim takes a [Client] as it is.
//
//	client, err := remote.Open(ctx, remote.Config{URL: "http://localhost:8080", Model: "digits", Shape: []int{1, 28, 28}})
//	defer client.Close()
//	err = client.Look(ctx, pixels[:784], 1)            // finds out what the answers are, if nothing told
//	logits, classes, err := client.Ask(ctx, pixels, n) // logits are nil if the endpoint answers labels
//
// Requests that fail are sent again, later and later; a budget bounds the rows that the server may have answered; and with
// an answer log no question is asked twice, not even by the next process.
package remote
