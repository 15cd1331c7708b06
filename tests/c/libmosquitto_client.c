/* libmosquitto, told what to do: libmosquitto_client 3.1|3.1.1|5.0 tcp PORT. It is told one thing in each line of its input, and
 * prints one JSON object for each thing that happens; payloads are in hexadecimal digits, `-` for none. */
#define _POSIX_C_SOURCE 200809L
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 8, KEEP_ALIVE_S = 30, AN_HOUR_S = 3600 };

struct message {
    const char *topic;
    unsigned char *payload;
    int size;
    int qos;
    bool retain;
    mosquitto_property *properties;
};

static struct mosquitto *client;
static int version;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void fail(const char *what, int code) {
    pthread_mutex_lock(&lock);
    printf("{\"event\":\"failed\",\"why\":\"%s: %s\"}\n", what, mosquitto_strerror(code));
    pthread_mutex_unlock(&lock);
}

static void check(const char *what, int code) {
    if (code != MOSQ_ERR_SUCCESS) fail(what, code);
}

static void print_hex(const unsigned char *bytes, int size) {
    if (size == 0) putchar('-');
    for (int i = 0; i < size; i++) printf("%02x", bytes[i]);
}

static unsigned char *from_hex(const char *text, int *size) {
    size_t length = strcmp(text, "-") == 0 ? 0 : strlen(text) / 2;
    unsigned char *bytes = malloc(length + 1);
    if (bytes == NULL) exit(1);
    for (size_t i = 0; i < length; i++) {
        unsigned value = 0;
        sscanf(text + 2 * i, "%2x", &value);
        bytes[i] = (unsigned char)value;
    }
    *size = (int)length;
    return bytes;
}

static struct message message_of(char **words, int count) {
    struct message message = {.topic = words[0], .qos = atoi(words[2]), .retain = words[3][0] == '1'};
    message.payload = from_hex(words[1], &message.size);
    if (count == 6) {
        int size = 0;
        unsigned char *correlation = from_hex(words[5], &size);
        mosquitto_property_add_string(&message.properties, MQTT_PROP_RESPONSE_TOPIC, words[4]);
        mosquitto_property_add_binary(&message.properties, MQTT_PROP_CORRELATION_DATA, correlation, (uint16_t)size);
        free(correlation);
    }
    return message;
}

static void drop(struct message *message) {
    free(message->payload);
    mosquitto_property_free_all(&message->properties);
}

static void on_connect(struct mosquitto *of, void *data, int code, int flags) {
    (void)of, (void)data;
    pthread_mutex_lock(&lock);
    if (code == 0) printf("{\"event\":\"connected\",\"present\":%s}\n", flags & 1 ? "true" : "false");
    else printf("{\"event\":\"failed\",\"why\":\"CONNACK %d\"}\n", code);
    pthread_mutex_unlock(&lock);
}

static void on_subscribe(struct mosquitto *of, void *data, int id, int count, const int *granted) {
    (void)of, (void)data, (void)id, (void)count;
    pthread_mutex_lock(&lock);
    printf("{\"event\":\"subscribed\",\"qos\":%d}\n", granted[0]);
    pthread_mutex_unlock(&lock);
}

static void on_publish(struct mosquitto *of, void *data, int id) {
    (void)of, (void)data, (void)id;
    pthread_mutex_lock(&lock);
    puts("{\"event\":\"published\"}");
    pthread_mutex_unlock(&lock);
}

static void on_disconnect(struct mosquitto *of, void *data, int code) {
    (void)of, (void)data;
    if (code != 0) fail("the connection was lost", code);
}

static void on_message(struct mosquitto *of, void *data, const struct mosquitto_message *message,
                       const mosquitto_property *properties) {
    (void)of, (void)data;
    char *answer_to = NULL;
    void *correlation = NULL;
    uint16_t size = 0;
    mosquitto_property_read_string(properties, MQTT_PROP_RESPONSE_TOPIC, &answer_to, false);
    mosquitto_property_read_binary(properties, MQTT_PROP_CORRELATION_DATA, &correlation, &size, false);
    pthread_mutex_lock(&lock);
    printf("{\"event\":\"message\",\"topic\":\"%s\",\"payload\":\"", message->topic);
    print_hex(message->payload, message->payloadlen);
    printf("\",\"qos\":%d,\"retain\":%s", message->qos, message->retain ? "true" : "false");
    if (answer_to != NULL) {
        printf(",\"response_topic\":\"%s\",\"correlation\":\"", answer_to);
        print_hex(correlation, size);
        printf("\"");
    }
    puts("}");
    pthread_mutex_unlock(&lock);
    free(answer_to);
    free(correlation);
}

static void connect_it(char **words, int count, int port) {
    bool keep = strcmp(words[1], "keep") == 0;
    if (client != NULL) mosquitto_destroy(client);
    client = mosquitto_new(words[0], !keep, NULL);
    mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, version);
    mosquitto_connect_with_flags_callback_set(client, on_connect);
    mosquitto_subscribe_callback_set(client, on_subscribe);
    mosquitto_publish_callback_set(client, on_publish);
    mosquitto_disconnect_callback_set(client, on_disconnect);
    mosquitto_message_v5_callback_set(client, on_message);
    if (count > 2) {
        struct message will = message_of(words + 2, count - 2);
        check("will", mosquitto_will_set(client, will.topic, will.size, will.payload, will.qos, will.retain));
        drop(&will);
    }
    mosquitto_property *properties = NULL;
    if (keep && version == MQTT_PROTOCOL_V5)
        mosquitto_property_add_int32(&properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL, AN_HOUR_S);
    check("connect", mosquitto_connect_bind_v5(client, "127.0.0.1", port, KEEP_ALIVE_S, NULL, properties));
    mosquitto_property_free_all(&properties);
    check("loop", mosquitto_loop_start(client));
}

static void publish(char **words, int count) {
    struct message it = message_of(words, count);
    check("publish", mosquitto_publish_v5(client, NULL, it.topic, it.size, it.payload, it.qos, it.retain, it.properties));
    drop(&it);
}

static void leave(void) {
    check("disconnect", mosquitto_disconnect(client));
    mosquitto_loop_stop(client, false);
    pthread_mutex_lock(&lock);
    puts("{\"event\":\"left\"}");
    pthread_mutex_unlock(&lock);
}

int main(int count, char **arguments) {
    if (count != 4) return 2;
    version = strcmp(arguments[1], "3.1") == 0     ? MQTT_PROTOCOL_V31
              : strcmp(arguments[1], "3.1.1") == 0 ? MQTT_PROTOCOL_V311
                                                   : MQTT_PROTOCOL_V5;
    setvbuf(stdout, NULL, _IOLBF, 0);
    mosquitto_lib_init();
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        char *words[WORDS_MAX] = {0};
        int found = 0;
        for (char *word = strtok(line, " \n"); word != NULL && found < WORDS_MAX; word = strtok(NULL, " \n"))
            words[found++] = word;
        if (found >= 3 && strcmp(words[0], "connect") == 0) connect_it(words + 1, found - 1, atoi(arguments[3]));
        else if (found == 3 && strcmp(words[0], "subscribe") == 0)
            check("subscribe", mosquitto_subscribe(client, NULL, words[1], atoi(words[2])));
        else if (found >= 5 && strcmp(words[0], "publish") == 0) publish(words + 1, found - 1);
        else if (found == 1 && strcmp(words[0], "leave") == 0) leave();
        else fail("no such command", MOSQ_ERR_INVAL);
    }
    free(line);
    return 0;
}
