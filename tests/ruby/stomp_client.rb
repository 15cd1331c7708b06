# The stomp gem, told what to do: stomp_client.rb 1.0|1.1|1.2 tcp PORT. It is told one thing in each line of its input, and prints
# one JSON object for each thing that happens; payloads are in hexadecimal digits, `-` for none.

require "json"
require "stomp"

# It warns of every connection that ends.
$VERBOSE = nil
SAYING = Mutex.new

def say(event, more = {})
  SAYING.synchronize do
    puts JSON.generate({ event: event }.merge(more))
    $stdout.flush
  end
end

# Held while the gem is told something. Its subscribe keeps a subscription to repeat it on each new connection, and only then writes
# SUBSCRIBE: if the connection is lost before that call is over, the gem comes back, repeats the subscription, and writes the same
# SUBSCRIBE once more (1.4.10: Connection#subscribe, #transmit, #connect). The RECEIPT may be quicker than the end of the call, so
# it is told of only behind it.
CALLING = Mutex.new

# Has the gem keep its complaints to itself.
class Ear < Stomp::NullLogger
  def on_miscerr(_parameters, _message)
    true
  end
end

class Client
  def initialize(version, port)
    @version = version
    @port = port
    @messages = []
  end

  def connect(beat, habit)
    headers = { "accept-version" => @version, "host" => "localhost" }
    headers["heart-beat"] = "#{beat},#{beat}" unless @version == "1.0"
    @connection = Stomp::Connection.new(
      hosts: [{ login: "guest", passcode: "guest", host: "127.0.0.1", port: @port }],
      reliable: habit == "returns",
      initial_reconnect_delay: 0.2,
      connect_headers: @version == "1.0" ? {} : headers,
      logger: Ear.new,
    )
    first = @connection.connection_frame
    say("connected", version: first.headers["version"] || "1.0")
    Thread.new { listen(@connection) }
  end

  def listen(connection)
    while (frame = connection.receive)
      case frame.command
      when "MESSAGE"
        @messages << frame.headers
        more = { redelivered: frame.headers["redelivered"] == "true", type: frame.headers["content-type"] }
        body = frame.body.b.unpack1("H*")
        say("message", { destination: frame.headers["destination"], payload: body.empty? ? "-" : body }.merge(more))
      when "RECEIPT" then answer(frame.headers["receipt-id"])
      when "ERROR" then say("error", message: frame.headers["message"])
      end
    end
    say("lost") unless @leaving
  rescue StandardError => error
    say("lost", why: error.to_s) unless @leaving
  end

  # A receipt is asked for by the name of what is said when it comes. When the gem returns, it subscribes as it did before.
  def answer(receipt)
    CALLING.synchronize {}
    say(@subscribed && receipt == "subscribed" ? "returned" : receipt)
    @subscribed = false if receipt == "unsubscribed"
    @subscribed = true if receipt == "subscribed"
  end

  def subscribe(id, destination, ack)
    headers = { ack: ack, receipt: "subscribed" }
    # In 1.0 a subscription goes by its destination.
    headers[:id] = id unless @version == "1.0"
    @connection.subscribe(destination, headers, id)
  end

  def unsubscribe(id, destination)
    @connection.unsubscribe(destination, { receipt: "unsubscribed" }, id)
  end

  def send_it(destination, body, transaction = nil)
    headers = { "content-type" => "text/plain;charset=utf-8" }
    transaction ? headers["transaction"] = transaction : headers["receipt"] = "sent"
    text = body == "-" ? "" : [body].pack("H*").force_encoding("UTF-8")
    @connection.publish(destination, text, headers)
    say("sent") if transaction
  end

  def ack(number)
    settle(:ack, number)
  end

  def nack(number)
    settle(:nack, number)
  end

  def settle(how, number)
    message = @messages[number.to_i]
    headers = { receipt: "settled" }
    headers[:subscription] = message["subscription"] if @version == "1.1"
    @connection.send(how, message[@version == "1.2" ? "ack" : "message-id"], headers)
  end

  def begin(name)
    @connection.begin(name, receipt: "begun")
  end

  def commit(name)
    @connection.commit(name, receipt: "committed")
  end

  def abort(name)
    @connection.abort(name, receipt: "aborted")
  end

  def leave
    @leaving = true
    begin
      @connection.disconnect
    rescue IOError
      # The broker hung up at once, and the gem's reading side was quicker than its writing side.
    end
    say("left")
  end
end

client = Client.new(ARGV[0], ARGV[2].to_i)
while (line = $stdin.gets)
  command, *words = line.split
  begin
    CALLING.synchronize { client.public_send(command == "send" ? :send_it : command, *words) }
  rescue IOError
    # The broker hung up at once, and the gem's reading side was quicker than its writing side: that one tells.
  end
end
