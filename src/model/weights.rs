//! The weights of a DeepFM, out of a file that may come from anybody.
//!
//! Everything that the file says of itself is compared with the manifest's architecture
//! before anything is made of it. Its bytes stay as they are: the table, which is nearly
//! all of them, is looked up in place.

use std::ops::Range;

use safetensors::{Dtype, SafeTensors, tensor::Metadata};

use crate::manifest::Architecture;

/// Most bytes of the header, which says name, type and place of each tensor: some hundred
/// for each of them.
const LONGEST_HEADER: u64 = 1 << 16;

/// Problems that are listed: a file of another model has one for each tensor.
const LISTED: usize = 5;

/// What a row is computed from.
pub(in crate::model) struct Weights {
    pub(in crate::model) table: Table,
    /// `[dense, k + o]`: latent vector and first order of each number.
    pub(in crate::model) dense_factors: Vec<f32>,
    /// `[k, o]`.
    pub(in crate::model) factor_weights: Vec<f32>,
    /// `[o]`: that of the first order and that of the last layer.
    pub(in crate::model) bias: Vec<f32>,
    /// Those of the deep part but for the last.
    pub(in crate::model) hidden: Vec<Layer>,
    /// `[in, o]`: the last layer's.
    pub(in crate::model) last: Vec<f32>,
}

/// One layer of the deep part.
pub(in crate::model) struct Layer {
    /// `[in, out]`: what one value adds to all values of the next layer lies together.
    pub(in crate::model) weight: Vec<f32>,
    /// `[out]`.
    pub(in crate::model) bias: Vec<f32>,
}

/// The rows of all ids of all fields: latent vector, then first order.
pub(in crate::model) struct Table {
    file: Vec<u8>,
    /// Where in the file its bytes are.
    place: Range<usize>,
    /// Bytes of a row.
    row: usize,
    /// The first row of each field, and how many it has.
    fields: Vec<(usize, usize)>,
}

/// A tensor of the file as the architecture wants it.
struct Wanted {
    name: String,
    shape: Vec<usize>,
}

impl Table {
    /// The row of an id, one float after the other; none where the field has no such id.
    pub(in crate::model) fn row(&self, field: usize, id: i64) -> Option<&[[u8; 4]]> {
        let (first, ids) = *self.fields.get(field)?;
        let id = usize::try_from(id).ok().filter(|id| *id < ids)?;
        let begin = self.place.start + (first + id) * self.row;
        Some(self.file.get(begin..begin + self.row)?.as_chunks().0)
    }

    /// How many ids a field has.
    pub(in crate::model) fn ids(&self, field: usize) -> usize {
        self.fields.get(field).map_or(0, |(_, ids)| *ids)
    }
}

impl Weights {
    /// The weights in the bytes of `model.safetensors`.
    pub(in crate::model) fn read(file: Vec<u8>, architecture: &Architecture) -> Result<Self, String> {
        let wanted = wanted(architecture);
        // Before the header is read: sizes that overflow are no file's.
        let bytes = wanted.iter().try_fold(0, |bytes: usize, tensor| bytes.checked_add(tensor.bytes()?));
        if let Some(bytes) = Some(bytes.unwrap_or(usize::MAX)).filter(|bytes| *bytes > file.len()) {
            let found = file.len();
            return Err(format!("has {found} bytes, wanted at least {bytes} for the tensors of its architecture"));
        }
        let (begin, header) = header(&file)?;
        let problems = problems(&header, &wanted);
        if !problems.is_empty() {
            return Err(listed(&problems));
        }
        let reader = Reader { file: &file, begin, header: &header };
        wanted.iter().try_for_each(|tensor| reader.finite(&tensor.name))?;
        let hidden = (0..architecture.hidden.len()).map(|index| reader.layer(&format!("hidden.{index}")));
        let (first_order, last) = (reader.values("bias"), reader.layer("last"));
        let (dense_factors, factor_weights) = (reader.values("dense_factors"), reader.values("factor_weights"));
        let hidden = hidden.collect();
        let (place, row) = (reader.place("table"), architecture.table_width() * size_of::<f32>());
        Ok(Self {
            table: Table { place, row, fields: fields(&architecture.cardinalities), file },
            dense_factors,
            factor_weights,
            bias: first_order.iter().zip(&last.bias).map(|(first_order, last)| first_order + last).collect(),
            hidden,
            last: last.weight,
        })
    }
}

fn fields(cardinalities: &[usize]) -> Vec<(usize, usize)> {
    let begin = |next: &mut usize, ids: &usize| {
        let first = *next;
        *next += ids;
        Some((first, *ids))
    };
    cardinalities.iter().scan(0, begin).collect()
}

/// Where the tensors begin, and what the header says of them: that they fill the rest of
/// the file, one behind the other, is checked.
fn header(file: &[u8]) -> Result<(usize, Metadata), String> {
    let length = file.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    match length {
        None => return Err(format!("has {} bytes, wanted the length of a header in the first 8", file.len())),
        Some(length) if length > LONGEST_HEADER => {
            return Err(format!("its header has {length} bytes, wanted at most {LONGEST_HEADER}"));
        }
        Some(_) => {}
    }
    let (length, header) = SafeTensors::read_metadata(file).map_err(|error| format!("is no safetensors: {error}"))?;
    Ok((size_of::<u64>() + length, header))
}

/// All tensors.
fn wanted(architecture: &Architecture) -> Vec<Wanted> {
    let (outputs, width) = (architecture.outputs, architecture.table_width());
    let mut wanted = vec![
        Wanted::new("table", &[architecture.ids().unwrap_or(usize::MAX), width]),
        Wanted::new("factor_weights", &[architecture.embedding_dim, outputs]),
        Wanted::new("bias", &[outputs]),
    ];
    if architecture.dense > 0 {
        wanted.push(Wanted::new("dense_factors", &[architecture.dense, width]));
    }
    let mut entering = architecture.deep_width().unwrap_or(usize::MAX);
    for (index, leaving) in architecture.hidden.iter().enumerate() {
        wanted.extend(Wanted::layer(&format!("hidden.{index}"), entering, *leaving));
        entering = *leaving;
    }
    wanted.extend(Wanted::layer("last", entering, outputs));
    wanted
}

impl Wanted {
    fn new(name: &str, shape: &[usize]) -> Self {
        Self { name: name.to_owned(), shape: shape.to_owned() }
    }

    fn layer(name: &str, entering: usize, leaving: usize) -> [Self; 2] {
        [Self::new(&format!("{name}.weight"), &[entering, leaving]), Self::new(&format!("{name}.bias"), &[leaving])]
    }

    /// Its length; none where it overflows.
    fn bytes(&self) -> Option<usize> {
        self.shape.iter().try_fold(size_of::<f32>(), |bytes, size| bytes.checked_mul(*size))
    }
}

/// What differs between the file and the architecture, by the tensors' names.
fn problems(header: &Metadata, wanted: &[Wanted]) -> Vec<String> {
    let mut problems = Vec::new();
    for Wanted { name, shape } in wanted {
        match header.info(name) {
            None => problems.push(format!("tensor {name}: missing, wanted F32 {shape:?}")),
            Some(found) if found.dtype != Dtype::F32 || found.shape != *shape => {
                problems
                    .push(format!("tensor {name}: found {:?} {:?}, wanted F32 {shape:?}", found.dtype, found.shape));
            }
            Some(_) => {}
        }
    }
    let known = |name: &String| wanted.iter().any(|wanted| wanted.name == *name);
    let unknown = header.offset_keys().into_iter().filter(|name| !known(name));
    problems.extend(unknown.map(|name| format!("tensor {name:?}: the architecture has none of this name")));
    problems
}

fn listed(problems: &[String]) -> String {
    let first = problems.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join("; ");
    match problems.len().saturating_sub(LISTED) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}

/// Reads tensors whose header was checked.
struct Reader<'f> {
    file: &'f [u8],
    begin: usize,
    header: &'f Metadata,
}

impl Reader<'_> {
    fn place(&self, name: &str) -> Range<usize> {
        let (begin, end) = self.header.info(name).map(|info| info.data_offsets).unwrap_or_default();
        self.begin + begin..self.begin + end
    }

    fn floats(&self, name: &str) -> impl Iterator<Item = f32> {
        let bytes = self.file.get(self.place(name)).unwrap_or_default();
        bytes.as_chunks().0.iter().map(|float| f32::from_le_bytes(*float))
    }

    fn values(&self, name: &str) -> Vec<f32> {
        self.floats(name).collect()
    }

    fn layer(&self, name: &str) -> Layer {
        Layer { weight: self.values(&format!("{name}.weight")), bias: self.values(&format!("{name}.bias")) }
    }

    /// What is no number would be found in some answers and not in others.
    fn finite(&self, name: &str) -> Result<(), String> {
        match self.floats(name).position(|value| !value.is_finite()) {
            Some(index) => Err(format!("tensor {name}: value {index} is NaN or infinite")),
            None => Ok(()),
        }
    }
}
