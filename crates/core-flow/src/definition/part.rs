//! The messages of `send_media`, as they are written.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One message of `send_media`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Part {
    /// Text.
    Text {
        /// What it says; may hold `{{…}}`.
        text: String,
    },
    /// JPEG or PNG.
    Image(MediaPart),
    /// MP4 or 3GP.
    Video(MediaPart),
    /// AAC, AMR, MP3, MP4 audio or OGG. No caption.
    Audio(MediaPart),
    /// Any file.
    Document(MediaPart),
    /// WebP. No caption.
    Sticker(MediaPart),
    /// A place on the map.
    Location(PlacePart),
    /// Address cards.
    Contacts {
        /// One to twenty.
        cards: Vec<CardPart>,
    },
}

/// A file at a public address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaPart {
    /// `https://…`; WhatsApp fetches it.
    pub link: String,
    /// Text under an image, video or document; may hold `{{…}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// Name the customer sees; documents only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
}

/// A place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacePart {
    /// Degrees north, -90 to 90.
    pub latitude: Degrees,
    /// Degrees east, -180 to 180.
    pub longitude: Degrees,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// An address card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardPart {
    /// The full name.
    pub name: String,
    /// Phone numbers, with `+` and the country's code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<String>,
    /// E-mail addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<String>,
}

/// Degrees to seven places, about a centimetre: whole ten-millionths, so that two places are the
/// same or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Degrees(i64);

impl Degrees {
    const PLACES: f64 = 1e7;

    /// As a number.
    pub fn degrees(self) -> f64 {
        self.0 as f64 / Self::PLACES
    }

    /// Whether it is no further than `most` from zero.
    pub(crate) fn is_within(self, most: i64) -> bool {
        self.0.unsigned_abs() <= most.unsigned_abs() * 10_000_000
    }
}

impl Serialize for Degrees {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.degrees().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Degrees {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let degrees = f64::deserialize(deserializer)?;
        if degrees.abs() > 1_000.0 {
            return Err(de::Error::custom("these are no degrees"));
        }
        Ok(Self((degrees * Self::PLACES).round() as i64))
    }
}
