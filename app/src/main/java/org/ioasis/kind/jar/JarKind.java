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
import org.ioasis.machine.FunctionKind;
import org.ioasis.machine.FunctionOptions;
import org.ioasis.machine.FunctionPort;
import org.ioasis.pci.PciFunction;
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
            return new FunctionOptions(place, port -> made(place, port));
        }

        /** What a provider says is of one device, and must name it where there are several. */
        private PciFunction made(DevicePlace place, FunctionPort port) throws IOException {
            FunctionKind provider = FunctionJar.provider(jar, kind);
            try {
                return provider.make(port, options);
            } catch (IOException e) {
                throw new IOException(
                        "device \"%s\", kind \"%s\" of %s: %s"
                                .formatted(place.name(), kind, jar, e.getMessage()),
                        e);
            }
        }
    }
}
