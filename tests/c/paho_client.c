/* Paho's C library, told what to do: paho_client 3.1|3.1.1|5.0 tcp|websocket PORT. It is told one thing in each line of its input,
 * and prints one JSON object for each thing that happens; payloads are in hexadecimal digits, `-` for none. */
#define _POSIX_C_SOURCE 200809L
#include <MQTTClient.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Over WebSocket, 1.3.12 keeps what came in one message behind a first packet until the socket has more to read, be it a PINGRESP:
// the keep alive is longer than anybody's patience, so that a test would fail for it.
enum { WORDS_MAX = 8, KEEP_ALIVE_S = 120, AN_HOUR_S = 3600, PATIENCE_MS = 15000 };

static MQTTClient client;
static int version;
static bool is_leaving;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void fail(const char *what, int code) {
    pthread_mutex_lock(&lock);
    printf("{\"event\":\"failed\",\"why\":\"%s: %d\"}\n", what, code);
    pthread_mutex_unlock(&lock);
}

static void say(const char *event) {
    pthread_mutex_lock(&lock);
    printf("{\"event\":\"%s\"}\n", event);
    pthread_mutex_unlock(&lock);
}

static void print_hex(const void *bytes, int size) {
    if (size == 0) putchar('-');
    for (int i = 0; i < size; i++) printf("%02x", ((const unsigned char *)bytes)[i]);
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

static void add_text(MQTTProperties *to, enum MQTTPropertyCodes id, char *text, int size) {
    MQTTProperty property = {.identifier = id};
    property.value.data.data = text;
    property.value.data.len = size;
    MQTTProperties_add(to, &property);
}

static int on_message(void *data, char *topic, int topic_size, MQTTClient_message *message) {
    (void)data, (void)topic_size;
    MQTTProperty *answer_to = MQTTProperties_getProperty(&message->properties, MQTTPROPERTY_CODE_RESPONSE_TOPIC);
    MQTTProperty *mark = MQTTProperties_getProperty(&message->properties, MQTTPROPERTY_CODE_CORRELATION_DATA);
    pthread_mutex_lock(&lock);
    printf("{\"event\":\"message\",\"topic\":\"%s\",\"payload\":\"", topic);
    print_hex(message->payload, message->payloadlen);
    printf("\",\"qos\":%d,\"retain\":%s", message->qos, message->retained ? "true" : "false");
    if (answer_to != NULL && mark != NULL) {
        printf(",\"response_topic\":\"%.*s\",\"correlation\":\"", answer_to->value.data.len, answer_to->value.data.data);
        print_hex(mark->value.data.data, mark->value.data.len);
        printf("\"");
    }
    puts("}");
    pthread_mutex_unlock(&lock);
    MQTTClient_freeMessage(&message);
    MQTTClient_free(topic);
    return 1;
}

static void on_lost(void *data, char *cause) {
    (void)data, (void)cause;
    if (!is_leaving) fail("the connection was lost", 0);
}

static void connect_it(char **words, int count, const char *transport, const char *port) {
    bool keep = strcmp(words[1], "keep") == 0, web = strcmp(transport, "websocket") == 0, five = version == MQTTVERSION_5;
    char address[64];
    snprintf(address, sizeof address, web ? "ws://127.0.0.1:%s/ws" : "tcp://127.0.0.1:%s", port);
    if (client != NULL) MQTTClient_destroy(&client);
    MQTTClient_createOptions made = MQTTClient_createOptions_initializer;
    made.MQTTVersion = version;
    MQTTClient_createWithOptions(&client, address, words[0], MQTTCLIENT_PERSISTENCE_NONE, NULL, &made);
    MQTTClient_setCallbacks(client, NULL, on_lost, on_message, NULL);
    MQTTClient_connectOptions plain = MQTTClient_connectOptions_initializer, new = MQTTClient_connectOptions_initializer5;
    MQTTClient_connectOptions plain_web = MQTTClient_connectOptions_initializer_ws;
    MQTTClient_connectOptions new_web = MQTTClient_connectOptions_initializer5_ws;
    MQTTClient_connectOptions options = five ? (web ? new_web : new) : (web ? plain_web : plain);
    options.MQTTVersion = version;
    options.keepAliveInterval = KEEP_ALIVE_S;
    *(five ? &options.cleanstart : &options.cleansession) = !keep;
    MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
    unsigned char *last_words = NULL;
    if (count > 2) {
        will.topicName = words[2];
        last_words = from_hex(words[3], &will.payload.len);
        will.payload.data = last_words;
        will.qos = atoi(words[4]);
        will.retained = words[5][0] == '1';
        options.will = &will;
    }
    is_leaving = false;
    int code = 0;
    if (five) {
        MQTTProperties properties = MQTTProperties_initializer;
        MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, .value.integer4 = keep ? AN_HOUR_S : 0};
        MQTTProperties_add(&properties, &expiry);
        MQTTResponse response = MQTTClient_connect5(client, &options, &properties, NULL);
        MQTTProperties_free(&properties);
        code = response.reasonCode;
        MQTTResponse_free(response);
    } else {
        code = MQTTClient_connect(client, &options);
    }
    free(last_words);
    if (code != 0) return fail("connect", code);
    pthread_mutex_lock(&lock);
    // In 5.0 the library does not say whether there was a session.
    const char *present = five ? "null" : options.returned.sessionPresent ? "true" : "false";
    printf("{\"event\":\"connected\",\"present\":%s}\n", present);
    pthread_mutex_unlock(&lock);
}

static void subscribe(const char *filter, int qos) {
    int granted = qos;
    if (version == MQTTVERSION_5) {
        MQTTResponse response = MQTTClient_subscribe5(client, filter, qos, NULL, NULL);
        granted = response.reasonCode;
        MQTTResponse_free(response);
    } else if (MQTTClient_subscribe(client, filter, qos) != MQTTCLIENT_SUCCESS) {
        granted = -1;
    }
    pthread_mutex_lock(&lock);
    printf("{\"event\":\"subscribed\",\"qos\":%d}\n", granted);
    pthread_mutex_unlock(&lock);
}

static void publish(char **words, int count) {
    MQTTClient_message message = MQTTClient_message_initializer;
    unsigned char *body = from_hex(words[1], &message.payloadlen), *mark = NULL;
    message.payload = body;
    message.qos = atoi(words[2]);
    message.retained = words[3][0] == '1';
    if (count == 6) {
        int size = 0;
        mark = from_hex(words[5], &size);
        add_text(&message.properties, MQTTPROPERTY_CODE_RESPONSE_TOPIC, words[4], (int)strlen(words[4]));
        add_text(&message.properties, MQTTPROPERTY_CODE_CORRELATION_DATA, (char *)mark, size);
    }
    MQTTClient_deliveryToken token = 0;
    int code = 0;
    if (version == MQTTVERSION_5) {
        MQTTResponse response = MQTTClient_publishMessage5(client, words[0], &message, &token);
        code = response.reasonCode;
        MQTTResponse_free(response);
    } else {
        code = MQTTClient_publishMessage(client, words[0], &message, &token);
    }
    if (code == 0 && message.qos > 0) code = MQTTClient_waitForCompletion(client, token, PATIENCE_MS);
    MQTTProperties_free(&message.properties);
    free(body);
    free(mark);
    if (code != 0) return fail("publish", code);
    say("published");
}

static void leave(void) {
    is_leaving = true;
    int code = version == MQTTVERSION_5 ? MQTTClient_disconnect5(client, PATIENCE_MS, MQTTREASONCODE_SUCCESS, NULL)
                                        : MQTTClient_disconnect(client, PATIENCE_MS);
    if (code != 0) return fail("disconnect", code);
    say("left");
}

int main(int count, char **arguments) {
    if (count != 4) return 2;
    version = strcmp(arguments[1], "3.1") == 0     ? MQTTVERSION_3_1
              : strcmp(arguments[1], "3.1.1") == 0 ? MQTTVERSION_3_1_1
                                                   : MQTTVERSION_5;
    setvbuf(stdout, NULL, _IOLBF, 0);
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        char *words[WORDS_MAX] = {0};
        int found = 0;
        for (char *word = strtok(line, " \n"); word != NULL && found < WORDS_MAX; word = strtok(NULL, " \n"))
            words[found++] = word;
        if (found >= 3 && strcmp(words[0], "connect") == 0) connect_it(words + 1, found - 1, arguments[2], arguments[3]);
        else if (found == 3 && strcmp(words[0], "subscribe") == 0) subscribe(words[1], atoi(words[2]));
        else if (found >= 5 && strcmp(words[0], "publish") == 0) publish(words + 1, found - 1);
        else if (found == 1 && strcmp(words[0], "leave") == 0) leave();
        else fail("no such command", 0);
    }
    free(line);
    return 0;
}
