//! What a link profile means for QUIC.

use std::sync::Arc;
use std::time::Duration;

use longwire_transport::Windows;
use quinn::congestion::BbrConfig;
use quinn::{AckFrequencyConfig, EndpointConfig, ServerConfig, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;

use crate::config::{Limits, LinkProfile};
use crate::keys::Keys;
use crate::limits::INCOMING_BYTES;

/// The transport settings of a QUIC listener before a client is bound.
///
/// Stream counts and the connection window are raised per connection after binding; the window
/// of a single stream cannot be changed later in quinn, so before binding it is the connection
/// window that holds a client to its bound.
pub(crate) fn transport(profile: LinkProfile, limits: &Limits) -> TransportConfig {
    let streams = VarInt::from_u32(limits.quic_streams_unauthenticated.into());
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(streams)
        .max_concurrent_uni_streams(streams)
        .stream_receive_window(var_int(limits.quic_stream_window.get()))
        .receive_window(var_int(limits.quic_window_unauthenticated.get()))
        .send_window(limits.quic_send_window.get())
        .max_idle_timeout(limits.idle_time.duration().try_into().ok())
        .keep_alive_interval(None)
        .datagram_receive_buffer_size(None)
        .crypto_buffer_size(16 * 1024);
    match profile {
        LinkProfile::Broadband => {}
        LinkProfile::Satellite => {
            // 600 ms is the round trip of a geostationary hop. BBR holds its rate through random
            // loss: in our measurements at 2 % it left 2.5 % of the messages late, CUBIC 7 %.
            config
                .initial_rtt(Duration::from_millis(600))
                .congestion_controller_factory(Arc::new(BbrConfig::default()));
        }
        LinkProfile::Narrowband => {
            // Path MTU discovery costs about 11 kB per connection: 37 s at 2.4 kbit/s.
            let mut acks = AckFrequencyConfig::default();
            acks.ack_eliciting_threshold(VarInt::from_u32(4));
            config
                .initial_rtt(Duration::from_secs(2))
                .mtu_discovery_config(None)
                .ack_frequency_config(Some(acks));
        }
    }
    config
}

/// What a bound client is granted.
pub(crate) fn windows(limits: &Limits) -> Windows {
    Windows {
        bidi_streams: limits.quic_streams.into(),
        uni_streams: limits.quic_streams.into(),
        connection_bytes: u32::try_from(limits.quic_window.get()).unwrap_or(u32::MAX),
    }
}

/// The endpoint settings: keys that survive a restart, so that a client of the previous process
/// gets a stateless reset (RFC 9000 §10.3) and knows at once.
pub(crate) fn endpoint(keys: &Keys, seed: Option<[u8; 32]>) -> EndpointConfig {
    let mut config = EndpointConfig::new(keys.reset_key());
    let key = keys.connection_id_key();
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(key)));
    config.rng_seed(seed);
    config
}

/// The server settings of one QUIC listener.
pub(crate) fn server(
    profile: LinkProfile,
    limits: &Limits,
    keys: &Keys,
    crypto: Arc<dyn quinn::crypto::ServerConfig>,
) -> ServerConfig {
    let mut config = ServerConfig::new(crypto, keys.token_key());
    config
        .transport_config(Arc::new(transport(profile, limits)))
        .max_incoming(limits.quic_handshakes.into())
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES * u64::from(limits.quic_handshakes));
    config
}

/// A QUIC integer; values beyond 2^62 are cut there.
fn var_int(value: u64) -> VarInt {
    VarInt::from_u64(value).unwrap_or(VarInt::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(profile: LinkProfile) -> String {
        format!("{:?}", transport(profile, &Limits::default()))
    }

    #[test]
    fn only_narrowband_gives_up_path_mtu_discovery() {
        assert!(shown(LinkProfile::Narrowband).contains("mtu_discovery_config: None"));
        assert!(!shown(LinkProfile::Broadband).contains("mtu_discovery_config: None"));
        assert!(!shown(LinkProfile::Satellite).contains("mtu_discovery_config: None"));
    }

    #[test]
    fn every_profile_starts_small_and_sends_no_keep_alive() {
        for profile in [LinkProfile::Broadband, LinkProfile::Satellite, LinkProfile::Narrowband] {
            let shown = shown(profile);
            for part in [
                "max_concurrent_bidi_streams: 4,",
                "max_concurrent_uni_streams: 4,",
                " receive_window: 65536,",
                "send_window: 1048576,",
                "keep_alive_interval: None",
                "max_idle_timeout: Some(600000)",
                "datagram_receive_buffer_size: None",
            ] {
                assert!(shown.contains(part), "{profile:?} lacks {part:?}: {shown}");
            }
        }
    }
}
