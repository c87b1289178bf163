package bert_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/safetensors"
)

// naive is the network as the paper writes it, in double precision and one
// loop per sum: what the fast one must agree with.
type naive struct {
	t      *testing.T
	f      *safetensors.File
	layers int
	dim    int
	inner  int
	read   map[string][]float64
}

func (n naive) table(name string, shape ...int) []float64 {
	n.t.Helper()
	if y, ok := n.read[name]; ok {
		return y
	}
	x, err := n.f.Read(name, shape...)
	if err != nil {
		n.t.Fatal(err)
	}
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	n.read[name] = y
	return y
}

func (n naive) norm(x [][]float64, name string) {
	gamma, beta := n.table(name+".LayerNorm.weight", n.dim), n.table(name+".LayerNorm.bias", n.dim)
	for _, row := range x {
		var mean, square float64
		for _, v := range row {
			mean += v / float64(n.dim)
		}
		for _, v := range row {
			square += (v - mean) * (v - mean) / float64(n.dim)
		}
		for j, v := range row {
			row[j] = (v-mean)/math.Sqrt(square+1e-12)*gamma[j] + beta[j]
		}
	}
}

func (n naive) dense(x [][]float64, name string, in, out int) [][]float64 {
	w, b := n.table(name+".weight", out, in), n.table(name+".bias", out)
	y := make([][]float64, len(x))
	for i, row := range x {
		y[i] = make([]float64, out)
		for j := range out {
			y[i][j] = b[j]
			for k, v := range row {
				y[i][j] += v * w[j*in+k]
			}
		}
	}
	return y
}

func add(x, y [][]float64) {
	for i := range x {
		for j := range x[i] {
			x[i][j] += y[i][j]
		}
	}
}

func (n naive) attend(q, k, v [][]float64) [][]float64 {
	out := make([][]float64, len(q))
	for i := range q {
		out[i] = make([]float64, n.dim)
		for h := 0; h < n.dim; h += 32 {
			share := make([]float64, len(q))
			var sum float64
			for j := range k {
				var dot float64
				for d := range 32 {
					dot += q[i][h+d] * k[j][h+d]
				}
				share[j] = math.Exp(dot / math.Sqrt(32))
				sum += share[j]
			}
			for j := range v {
				for d := range 32 {
					out[i][h+d] += share[j] / sum * v[j][h+d]
				}
			}
		}
	}
	return out
}

// rows is the last layer; tokens from second on are of the second type.
func (n naive) rows(sequence []int32, second int) [][]float64 {
	words := n.table("embeddings.word_embeddings.weight", -1, n.dim)
	places := n.table("embeddings.position_embeddings.weight", -1, n.dim)
	types := n.table("embeddings.token_type_embeddings.weight", -1, n.dim)
	x := make([][]float64, len(sequence))
	for i, token := range sequence {
		x[i] = make([]float64, n.dim)
		kind := 0
		if i >= second {
			kind = n.dim
		}
		for j := range n.dim {
			x[i][j] = words[int(token)*n.dim+j] + places[i*n.dim+j] + types[kind+j]
		}
	}
	n.norm(x, "embeddings")
	for i := range n.layers {
		p := fmt.Sprintf("encoder.layer.%d.", i)
		self := p + "attention.self."
		a := n.attend(n.dense(x, self+"query", n.dim, n.dim), n.dense(x, self+"key", n.dim, n.dim), n.dense(x, self+"value", n.dim, n.dim))
		add(x, n.dense(a, p+"attention.output.dense", n.dim, n.dim))
		n.norm(x, p+"attention.output")
		inner := n.dense(x, p+"intermediate.dense", n.dim, n.inner)
		for _, row := range inner {
			for j, v := range row {
				row[j] = v * 0.5 * (1 + math.Erf(v/math.Sqrt2))
			}
		}
		add(x, n.dense(inner, p+"output.dense", n.inner, n.dim))
		n.norm(x, p+"output")
	}
	return x
}

// score is what the head makes of a pair.
func (n naive) score(pair []int32, second int) float64 {
	pooled := n.dense(n.rows(pair, second)[:1], "pooler.dense", n.dim, n.dim)
	for j, v := range pooled[0] {
		pooled[0][j] = math.Tanh(v)
	}
	return n.dense(pooled, "classifier", n.dim, 1)[0][0]
}

func (n naive) vector(sequence []int32) []float64 {
	x := n.rows(sequence, len(sequence))
	mean := make([]float64, n.dim)
	var square float64
	for j := range mean {
		for i := range x {
			mean[j] += x[i][j]
		}
		square += mean[j] * mean[j]
	}
	for j := range mean {
		mean[j] /= math.Sqrt(square)
	}
	return mean
}
