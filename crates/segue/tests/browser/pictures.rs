//! Pictures of pages, for people: `target/screenshots/<page>-{light,dark,phone}.png`.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Browser;

/// Taller than this is cut off.
const TALLEST_PX: f64 = 2_400.0;

impl Browser {
    /// Takes pictures of the page as it is: light, dark, and as wide as a phone.
    pub fn picture(&self, name: &str) {
        for (look, scheme, width, height) in [
            ("light", "light", 1280, 900),
            ("dark", "dark", 1280, 900),
            ("phone", "light", 390, 844),
        ] {
            // Without motion, so that no picture shows a colour on its way to another.
            let features = json!([
                { "name": "prefers-color-scheme", "value": scheme },
                { "name": "prefers-reduced-motion", "value": "reduce" },
            ]);
            self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }));
            let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
            self.devtools("Emulation.setDeviceMetricsOverride", &size);
            let layout = self.devtools("Page.getLayoutMetrics", &json!({}));
            let size = &layout["cssContentSize"];
            let wide = size["width"].as_f64().unwrap();
            assert!(wide <= f64::from(width), "{name} is {wide} px wide on a screen of {width} px");
            let tall = size["height"].as_f64().unwrap().clamp(f64::from(height), TALLEST_PX);
            let clip = json!({ "x": 0, "y": 0, "width": width, "height": tall, "scale": 1 });
            let shot = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
            let shot = self.devtools("Page.captureScreenshot", &shot);
            let bytes = STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("{name}-{look}.png")), bytes).unwrap();
        }
        self.devtools("Emulation.clearDeviceMetricsOverride", &json!({}));
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": [] }));
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.driver.ask("POST", "/goog/cdp/execute", &body).unwrap()
    }
}
