//! MQTT over TCP and TLS. (Over WebSocket it comes in through `http`.)

use crate::{
    door::serve_door,
    entrance::{Entrance, Peer},
    listener::{Arrived, Listener},
};
use riser_model::{ConnectionId, door::Door};
use std::sync::Arc;

/// Makes the MQTT door of a connection.
pub type MqttDoors = Arc<dyn Fn(ConnectionId, &Peer) -> Box<dyn Door> + Send + Sync>;

/// Serves MQTT until the entrance stops. Connections that are open then end by themselves.
pub async fn serve_mqtt(listener: Listener, entrance: Arc<Entrance>, doors: MqttDoors) {
    listener
        .accept(entrance, |arrived: Arrived, mut visitor| {
            let doors = Arc::clone(&doors);
            async move {
                let Some(stream) = arrived.handshake(&mut visitor).await else { return };
                let door = doors(visitor.connection, &visitor.peer);
                serve_door(stream, visitor, door).await;
            }
        })
        .await;
}
