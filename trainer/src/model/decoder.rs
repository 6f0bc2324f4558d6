//! The decoder: embedding, layers, final norm; forward, training pass, prefill and decode.
//!
//! Gradient checkpointing is by whole layers: the forward keeps each layer's input alone, and the backward runs a layer's
//! forward again before its backward. The result is the same bits either way (tested).

use std::sync::Arc;

use burn::tensor::{AllocationProperty, Bytes, DType, Tensor, TensorData};

use super::{
    Gradients, KvCache, ModelConfig, Parameters,
    layer::{Attend, Context, Layer, Linear, Saved},
    rope,
};
use crate::{
    adapter::{Adapter, Projection},
    failure::{Failure, Result},
    ops::{AttentionShape, LmBackend, RopeTable, Segments},
    weights::ModelFiles,
};

/// A decoder's weights, resident on one device.
#[derive(Clone, Debug)]
pub struct Decoder<B: LmBackend> {
    config: Arc<ModelConfig>,
    embed_tokens: B::Frozen,
    layers: Vec<Layer<B>>,
    norm: Tensor<B, 1>,
    /// `None` = tied to `embed_tokens`.
    lm_head: Option<B::Frozen>,
    rope: RopeTable,
    device: B::Device,
    /// Where weights lie that were not copied.
    files: Option<Arc<ModelFiles>>,
}

/// A decoder without weights.
#[derive(Clone, Debug)]
pub struct Shell<B: LmBackend> {
    config: Arc<ModelConfig>,
    rope: RopeTable,
    device: B::Device,
}

impl<B: LmBackend> Shell<B> {
    /// The decoder over `parameters`, whose buffers it shares.
    pub fn fill(&self, parameters: &Parameters<B>) -> Result<Decoder<B>> {
        let read = &mut |name: &str, _: &[usize]| Ok(parameters.get(name).map(super::Parameter::vector));
        let mut decoder = Decoder::build(Arc::clone(&self.config), 1, &self.device, B::freeze, read)?;
        decoder.rope = self.rope.clone();
        Ok(decoder)
    }

    pub fn config(&self) -> &ModelConfig {
        &self.config
    }
}

/// Gives a checkpoint's tensor by name and shape, as flat f32 values; `None` if there is no such tensor.
pub type ReadTensor<'a, B> = dyn FnMut(&str, &[usize]) -> Result<Option<Tensor<B, 1>>> + 'a;

/// How a training pass runs.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    /// One dropout key a row of the batch (see [`crate::ops::Dropout`]); `None` = dropout off.
    pub dropout_keys: Option<Arc<Vec<u32>>>,
    pub gradient_checkpointing: bool,
    /// Gradients for the base's own weights too (full fine-tuning).
    pub train_base: bool,
}

enum Kept<B: LmBackend> {
    All(Box<Saved<B>>),
    Input(Tensor<B, 2>),
}

impl<B: LmBackend> Decoder<B> {
    /// Builds a decoder from its tensors: `read(name, shape)` gives the f32 values of a checkpoint's tensor, and `None`
    /// for a `lm_head.weight` that is tied. Tables reach `max_positions`.
    pub fn build(
        config: Arc<ModelConfig>,
        max_positions: usize,
        device: &B::Device,
        freeze: fn(Tensor<B, 2>) -> B::Frozen,
        read: &mut ReadTensor<B>,
    ) -> Result<Self> {
        let embedding_shape = [config.vocab_size, config.hidden_size];
        let embed_tokens =
            freeze(required(read, "model.embed_tokens.weight", &embedding_shape)?.reshape(embedding_shape));
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for index in 0..config.num_hidden_layers {
            layers.push(build_layer(&config, index, freeze, read)?);
        }
        let norm = required(read, "model.norm.weight", &[config.hidden_size])?;
        let lm_head = match config.tie_word_embeddings {
            true => None,
            // A reward model has none.
            false if config.is_sequence_classifier() => None,
            false => Some(freeze(required(read, "lm_head.weight", &embedding_shape)?.reshape(embedding_shape))),
        };
        let rope = rope::table(&config, max_positions);
        Ok(Self { config, embed_tokens, layers, norm, lm_head, rope, device: device.clone(), files: None })
    }

    /// Says where weights lie that were not copied.
    pub(super) fn lying_in(self, files: Arc<ModelFiles>) -> Self {
        Self { files: Some(files), ..self }
    }

    /// Takes weights that lie in files out of memory until they are read again.
    pub fn release(&self) {
        if let Some(files) = &self.files {
            files.release();
        }
    }

    /// What a decoder is besides its weights.
    pub fn shell(&self) -> Shell<B> {
        Shell { config: Arc::clone(&self.config), rope: self.rope.clone(), device: self.device.clone() }
    }

    /// All weights as trainable parameters: full fine-tuning's start.
    pub fn parameters(&self) -> Parameters<B> {
        let mut parameters = Parameters::new();
        self.for_each_tensor(|name, shape, value| {
            parameters.insert(name, super::Parameter { shape, value });
            Ok(())
        })
        .expect("the visitor never fails");
        parameters
    }

    /// Replaces a weight matrix, by checkpoint name.
    pub fn set_weight(&mut self, name: &str, weight: Tensor<B, 2>) {
        let weight = B::freeze(weight);
        match name {
            "model.embed_tokens.weight" => self.embed_tokens = weight,
            "lm_head.weight" => self.lm_head = Some(weight),
            _ => {
                for (index, layer) in self.layers.iter_mut().enumerate() {
                    for projection in Projection::ALL {
                        if name.strip_suffix(".weight") == Some(&projection.path(index)) {
                            layer.projections[projection.index()].weight = weight;
                            return;
                        }
                    }
                }
            }
        }
    }

    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    pub fn device(&self) -> &B::Device {
        &self.device
    }

    pub fn max_positions(&self) -> usize {
        self.rope.cos.len() / self.rope.half
    }

    pub fn projection(&self, layer: usize, projection: Projection) -> &B::Frozen {
        &self.layers[layer].projections[projection.index()].weight
    }

    pub fn embedding(&self) -> &B::Frozen {
        &self.embed_tokens
    }

    /// The output matrix `[vocab, h]`: the adapter's copy, the model's own, or the tied embedding.
    pub fn head<'a>(&'a self, adapter: Option<&'a Adapter<B>>) -> &'a B::Frozen {
        let trained = adapter.and_then(|adapter| adapter.lm_head.as_ref());
        trained.or(self.lm_head.as_ref()).unwrap_or_else(|| self.input_embedding(adapter))
    }

    /// Name of the parameter that [`Self::head`] is.
    pub fn head_name(&self, adapter: Option<&Adapter<B>>) -> &'static str {
        let own = self.lm_head.is_some() || adapter.is_some_and(|adapter| adapter.lm_head.is_some());
        if own { "lm_head.weight" } else { "model.embed_tokens.weight" }
    }

    /// Whether [`Self::head`] is trained in a pass.
    pub fn head_is_trained(&self, adapter: Option<&Adapter<B>>, pass: &Pass) -> bool {
        pass.train_base
            || adapter.is_some_and(|a| a.lm_head.is_some() || (self.lm_head.is_none() && a.embed_tokens.is_some()))
    }

    fn input_embedding<'a>(&'a self, adapter: Option<&'a Adapter<B>>) -> &'a B::Frozen {
        adapter.and_then(|adapter| adapter.embed_tokens.as_ref()).unwrap_or(&self.embed_tokens)
    }

    /// Every tensor of the checkpoint with its shape, in the checkpoint's names; matrices flat.
    pub fn for_each_tensor(&self, mut visit: impl FnMut(String, Vec<usize>, Tensor<B, 1>) -> Result<()>) -> Result<()> {
        let flat = |weight: &B::Frozen| {
            let matrix = B::thaw(weight);
            let [rows, columns] = matrix.dims();
            (vec![rows, columns], matrix.reshape([rows * columns]))
        };
        let (shape, values) = flat(&self.embed_tokens);
        visit("model.embed_tokens.weight".into(), shape, values)?;
        for (index, layer) in self.layers.iter().enumerate() {
            for projection in Projection::ALL {
                let linear = &layer.projections[projection.index()];
                let (shape, values) = flat(&linear.weight);
                visit(format!("{}.weight", projection.path(index)), shape, values)?;
                if let Some(bias) = &linear.bias {
                    visit(format!("{}.bias", projection.path(index)), vec![bias.dims()[0]], bias.clone())?;
                }
            }
            let norms = [
                ("input_layernorm", Some(&layer.input_layernorm)),
                ("post_attention_layernorm", Some(&layer.post_attention_layernorm)),
                ("self_attn.q_norm", layer.q_norm.as_ref()),
                ("self_attn.k_norm", layer.k_norm.as_ref()),
            ];
            for (name, norm) in norms {
                if let Some(norm) = norm {
                    visit(format!("model.layers.{index}.{name}.weight"), vec![norm.dims()[0]], norm.clone())?;
                }
            }
        }
        visit("model.norm.weight".into(), vec![self.config.hidden_size], self.norm.clone())?;
        if let Some(head) = &self.lm_head {
            let (shape, values) = flat(head);
            visit("lm_head.weight".into(), shape, values)?;
        }
        Ok(())
    }

    /// Hidden states `[n, h]` after the final norm, for scoring.
    pub fn hidden(&self, ids: &[u32], segments: &Segments, adapter: Option<&Adapter<B>>) -> Tensor<B, 2> {
        let positions = segments.positions();
        let context = self.context(segments, &positions, adapter, &Pass::default());
        self.run(ids, &context, &mut Attend::Batch)
    }

    /// Hidden states of whole prompts, whose keys and values go to the cache: segment `i` to `slots[i]`.
    pub fn prefill(
        &self,
        ids: &[u32],
        segments: &Segments,
        slots: &[usize],
        adapter: Option<&Adapter<B>>,
        cache: &mut KvCache<B>,
    ) -> Tensor<B, 2> {
        let positions = segments.positions();
        let places: Vec<(usize, usize)> = segments
            .ranges()
            .zip(slots)
            .flat_map(|(range, &slot)| (0..range.len()).map(move |position| (slot, position)))
            .collect();
        let context = self.context(segments, &positions, adapter, &Pass::default());
        let hidden = self.run(ids, &context, &mut Attend::Prefill(cache, &places));
        for (range, &slot) in segments.ranges().zip(slots) {
            cache.truncate(slot, 0);
            cache.grow(slot, range.len());
        }
        hidden
    }

    /// Hidden states `[slots, h]` of one next token a sequence.
    pub fn decode(
        &self,
        ids: &[u32],
        slots: &[usize],
        adapter: Option<&Adapter<B>>,
        cache: &mut KvCache<B>,
    ) -> Tensor<B, 2> {
        let places: Vec<(usize, usize)> = slots.iter().map(|&slot| (slot, cache.length(slot))).collect();
        let positions: Vec<u32> = places.iter().map(|place| place.1 as u32).collect();
        let segments = Segments::from_lengths(std::iter::repeat_n(1, ids.len()));
        let context = self.context(&segments, &positions, adapter, &Pass::default());
        let hidden = self.run(ids, &context, &mut Attend::Decode(cache, &places));
        for &slot in slots {
            cache.grow(slot, 1);
        }
        hidden
    }

    /// Logits `[n, vocab]` of few rows.
    pub fn logits(&self, hidden: &Tensor<B, 2>, adapter: Option<&Adapter<B>>) -> Tensor<B, 2> {
        B::project(hidden, self.head(adapter))
    }

    /// One training pass: forward, `head` (which turns hidden states `[n, h]` into its result and the gradient of the
    /// loss by them), backward. Gradients of all that is trained are added to `gradients`.
    pub fn loss_and_grads<R>(
        &self,
        ids: &[u32],
        segments: &Segments,
        adapter: Option<&Adapter<B>>,
        pass: &Pass,
        gradients: &mut Gradients<B>,
        head: impl FnOnce(&Tensor<B, 2>, &mut Gradients<B>) -> Result<(R, Tensor<B, 2>)>,
    ) -> Result<R> {
        let positions = segments.positions();
        let context = self.context(segments, &positions, adapter, pass);
        let mut x = B::embed(self.input_embedding(adapter), ids);
        let mut kept = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            let input = pass.gradient_checkpointing.then(|| x.clone());
            let (y, saved) = layer.forward(index, x, &context, &mut Attend::Batch);
            kept.push(match input {
                Some(input) => Kept::Input(input),
                None => Kept::All(Box::new(saved)),
            });
            x = y;
        }
        let (hidden, rstd) = B::rms_norm(&x, &self.norm, self.config.rms_norm_eps);
        let (result, d_hidden) = head(&hidden, gradients)?;
        drop(hidden);
        let (mut dx, d_norm) = B::rms_norm_backward(&d_hidden, &x, &self.norm, &rstd, None, pass.train_base);
        drop((d_hidden, x));
        if let Some(d_norm) = d_norm {
            gradients.add("model.norm.weight".into(), d_norm);
        }
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let saved = match kept.pop().expect("one entry a layer") {
                Kept::All(saved) => *saved,
                Kept::Input(input) => layer.forward(index, input, &context, &mut Attend::Batch).1,
            };
            dx = layer.backward(index, dx, saved, &context, gradients);
        }
        if pass.train_base || adapter.is_some_and(|adapter| adapter.embed_tokens.is_some()) {
            let gradient = B::embed_backward(&dx, ids, self.config.vocab_size);
            gradients.add("model.embed_tokens.weight".into(), gradient);
        }
        Ok(result)
    }

    fn context<'a>(
        &'a self,
        segments: &'a Segments,
        positions: &'a [u32],
        adapter: Option<&'a Adapter<B>>,
        pass: &Pass,
    ) -> Context<'a, B> {
        debug_assert!(positions.iter().all(|&position| (position as usize) < self.max_positions()));
        let p = adapter.map_or(0.0, |adapter| adapter.dropout);
        let dropout = pass.dropout_keys.as_ref().filter(|_| p > 0.0).map(|keys| (p, Arc::clone(keys)));
        Context {
            adapter,
            segments,
            positions,
            rope: &self.rope,
            eps: self.config.rms_norm_eps,
            dropout,
            train_base: pass.train_base,
        }
    }

    fn run(&self, ids: &[u32], context: &Context<B>, attend: &mut Attend<B>) -> Tensor<B, 2> {
        let mut x = B::embed(self.input_embedding(context.adapter), ids);
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(index, x, context, attend).0;
        }
        B::rms_norm(&x, &self.norm, self.config.rms_norm_eps).0
    }
}

fn required<B: LmBackend>(read: &mut ReadTensor<B>, name: &str, shape: &[usize]) -> Result<Tensor<B, 1>> {
    read(name, shape)?.ok_or_else(|| {
        Failure::input(format!(
            "tensor \"{name}\" is missing from the model's safetensors; the download is incomplete or the config.json \
             belongs to another model"
        ))
    })
}

fn build_layer<B: LmBackend>(
    config: &ModelConfig,
    index: usize,
    freeze: fn(Tensor<B, 2>) -> B::Frozen,
    read: &mut ReadTensor<B>,
) -> Result<Layer<B>> {
    let mut projections = Vec::with_capacity(Projection::ALL.len());
    for projection in Projection::ALL {
        let shape = projection.shape(config);
        let path = projection.path(index);
        let weight = freeze(required(read, &format!("{path}.weight"), &shape)?.reshape(shape));
        let biased = match projection {
            Projection::Q | Projection::K | Projection::V => config.qkv_bias,
            Projection::O => config.o_bias,
            Projection::Gate | Projection::Up | Projection::Down => config.mlp_bias,
        };
        let bias = if biased { Some(required(read, &format!("{path}.bias"), &shape[..1])?) } else { None };
        projections.push(Linear { weight, bias });
    }
    let mut norm = |name: &str, size: usize| required(read, &format!("model.layers.{index}.{name}.weight"), &[size]);
    let input_layernorm = norm("input_layernorm", config.hidden_size)?;
    let post_attention_layernorm = norm("post_attention_layernorm", config.hidden_size)?;
    let (mut q_norm, mut k_norm) = (None, None);
    if config.qk_norm {
        q_norm = Some(norm("self_attn.q_norm", config.head_dim)?);
        k_norm = Some(norm("self_attn.k_norm", config.head_dim)?);
    }
    Ok(Layer {
        projections: projections.try_into().map_err(|_| ()).expect("one projection of each kind"),
        input_layernorm,
        post_attention_layernorm,
        q_norm,
        k_norm,
        attention: AttentionShape {
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            window: config.windows[index],
        },
    })
}

/// A flat tensor over f32 values that lie elsewhere; it copies them when they are to be changed.
pub fn over<B: LmBackend>(values: bytes::Bytes, device: &B::Device) -> Tensor<B, 1> {
    let length = values.len() / size_of::<f32>();
    let bytes = Bytes::from_shared(values, AllocationProperty::File);
    Tensor::from_data(TensorData::from_bytes(bytes, [length], DType::F32), device)
}

/// A flat tensor from host values.
pub fn upload<B: LmBackend>(values: Vec<f32>, device: &B::Device) -> Tensor<B, 1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}
