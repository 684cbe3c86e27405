// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.jar;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import org.ioasis.machine.DeviceKeys;
import org.ioasis.machine.DeviceKind;
import org.ioasis.machine.DeviceOptions;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.FunctionOptions;
import org.jspecify.annotations.Nullable;

/** Functions of one's own, from a jar. Any thread. */
public final class JarKind implements DeviceKind {
    @Override
    public String key() {
        return "device";
    }

    @Override
    public String usualName() {
        return "device";
    }

    @Override
    public String optionLabel() {
        return "SOCKET,jar=FILE,kind=NAME[,options=TEXT][,endpoint=ID][,alias=ID]";
    }

    @Override
    public List<String> optionHelp() {
        return List.of(
                "A device of your own behind the IOMMU; repeatable. jar=FILE: a jar, or a folder of jars, with a module that"
                        + " provides org.ioasis.machine.FunctionKind (docs/embedding.md); kind=NAME: which of its kinds;"
                        + " options=TEXT is handed to it, a comma in it written twice. endpoint=ID, alias=ID: as for"
                        + " --blk.");
    }

    @Override
    public @Nullable Described read(DeviceKeys keys) {
        Path jar = keys.requiredPath("jar");
        String kind = keys.string("kind");
        String options = keys.string("options");
        if (kind == null) {
            keys.problem("kind", "is needed: the name of one of the jar's kinds");
        }
        return jar == null || kind == null
                ? null
                : new Device(jar, kind, options == null ? "" : options);
    }

    private record Device(Path jar, String kind, String options) implements Described {
        @Override
        public void check(Consumer<String> problem) {
            try {
                FunctionJar.provider(jar, kind);
            } catch (IOException e) {
                problem.accept(String.valueOf(e.getMessage()));
            }
        }

        @Override
        public DeviceOptions<?> at(DevicePlace place) {
            return new FunctionOptions(
                    place, port -> FunctionJar.provider(jar, kind).make(port, options));
        }
    }
}
