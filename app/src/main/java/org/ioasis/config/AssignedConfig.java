// SPDX-License-Identifier: Apache-2.0
package org.ioasis.config;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.ioasis.kind.Kinds;
import org.ioasis.machine.DeviceKind;
import org.ioasis.machine.DeviceOptions;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.ProgramMachine;

/**
 * The devices that a program is given, from the command line: {@code NAME=KIND,KEY=VALUE...} each.
 * One thread.
 */
public final class AssignedConfig {
    private static final List<DeviceKind> KINDS =
            Kinds.ALL.stream().filter(DeviceKind::isForPrograms).toList();

    private AssignedConfig() {}

    /**
     * Everything checked.
     *
     * @param options as the user has written them
     * @throws ConfigException with everything that is wrong
     */
    public static List<DeviceOptions<?>> of(List<String> options) throws ConfigException {
        List<Problem> problems = new ArrayList<>();
        List<DeviceOptions<?>> devices = new ArrayList<>();
        Set<String> names = new HashSet<>();
        for (String text : options) {
            OptionWords words = new OptionWords("--device " + text, text, "NAME=KIND", problems);
            String first = words.string("");
            if (first == null) {
                continue;
            }
            String[] parts = first.split("=", 2);
            String name = parts.length == 2 ? parts[0] : "";
            if (!name.matches(Draft.NAME)) {
                words.problem("needs NAME=KIND first, and a name of letters and digits");
            } else if (!names.add(name)) {
                words.problem("another device is called " + name);
            } else {
                add(devices, words, name, parts[1]);
            }
        }
        if (options.size() > ProgramMachine.DEVICES_MAX) {
            problems.add(
                    new Problem(
                            Problem.Place.COMMAND_LINE,
                            "--device: %d devices, and there can be %d"
                                    .formatted(options.size(), ProgramMachine.DEVICES_MAX)));
        }
        if (!problems.isEmpty()) {
            throw new ConfigException("", problems);
        }
        return devices;
    }

    private static void add(
            List<DeviceOptions<?>> devices, OptionWords words, String name, String key) {
        for (DeviceKind kind : KINDS) {
            if (kind.key().equals(key)) {
                DeviceKind.Described described = kind.read(words);
                words.finish();
                if (described != null) {
                    described.check(words::problem);
                    // Where programs find it says its number, and not a socket.
                    devices.add(
                            described.at(
                                    DevicePlace.of(
                                            name, Path.of("/dev/vfio"), devices.size() + 1)));
                }
                return;
            }
        }
        words.problem(
                "there is no kind \"%s\"; there are %s"
                        .formatted(
                                key,
                                String.join(", ", KINDS.stream().map(DeviceKind::key).toList())));
    }
}
