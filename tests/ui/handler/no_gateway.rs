use eventwire::Io;

struct Chat;

fn main() {
    let io = Io::new();
    let _ = io.gateway(Chat);
}
