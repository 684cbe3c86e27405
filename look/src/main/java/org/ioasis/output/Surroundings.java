// SPDX-License-Identifier: Apache-2.0
package org.ioasis.output;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * Where and with what figures were measured, without which they say nothing to somebody else.
 * Immutable.
 *
 * @param processor its model, as Linux names it
 * @param processors how many the machine has, whatever we are pinned to
 * @param memoryBytes of the machine
 * @param kernel of the machine
 * @param jvm vendor and version
 * @param jvmOptions it was started with
 * @param commit of Ioasis, with {@code -changed} behind it if the tree has changes; or {@code
 *     unknown}
 */
public record Surroundings(
        String processor,
        int processors,
        long memoryBytes,
        String kernel,
        String jvm,
        List<String> jvmOptions,
        String commit) {
    private static final String UNKNOWN = "unknown";

    public Surroundings {
        jvmOptions = List.copyOf(jvmOptions);
    }

    /** Of this process. */
    public static Surroundings here(String commit) throws IOException {
        return new Surroundings(
                field("/proc/cpuinfo", "model name"),
                (int) lines("/proc/cpuinfo").filter(line -> line.startsWith("processor")).count(),
                Long.parseLong(field("/proc/meminfo", "MemTotal").replaceAll("\\D", "")) << 10,
                System.getProperty("os.version", UNKNOWN),
                System.getProperty("java.vm.name", UNKNOWN)
                        + " "
                        + System.getProperty("java.vm.version", UNKNOWN),
                ProcessHandle.current().info().arguments().stream()
                        .flatMap(Stream::of)
                        .filter(word -> word.startsWith("-X"))
                        .toList(),
                commit.isEmpty() ? UNKNOWN : commit);
    }

    private static Stream<String> lines(String file) throws IOException {
        // Files of /proc have no size that could be relied on.
        return Files.readString(Path.of(file)).lines();
    }

    private static String field(String file, String name) throws IOException {
        return lines(file)
                .filter(line -> line.startsWith(name))
                .map(line -> line.substring(line.indexOf(':') + 1).strip())
                .findFirst()
                .orElse("0");
    }

    /** Writes the fields of an object that is being written. */
    public void write(JsonGenerator json) throws IOException {
        json.writeObjectFieldStart("machine");
        json.writeStringField("processor", processor);
        json.writeNumberField("processors", processors);
        json.writeNumberField("memoryBytes", memoryBytes);
        json.writeStringField("kernel", kernel);
        json.writeEndObject();
        json.writeObjectFieldStart("jvm");
        json.writeStringField("version", jvm);
        json.writeArrayFieldStart("options");
        for (String option : jvmOptions) {
            json.writeString(option);
        }
        json.writeEndArray();
        json.writeEndObject();
        json.writeStringField("commit", commit);
    }
}
