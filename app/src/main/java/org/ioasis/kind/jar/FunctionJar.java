// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.jar;

import java.io.IOException;
import java.lang.module.Configuration;
import java.lang.module.FindException;
import java.lang.module.ModuleFinder;
import java.lang.module.ModuleReference;
import java.lang.module.ResolutionException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.ServiceConfigurationError;
import java.util.ServiceLoader;
import java.util.Set;
import java.util.stream.Collectors;
import org.ioasis.machine.FunctionKind;

/**
 * The kinds of functions in a jar, or a folder of jars: its modules in a layer of their own above
 * ours, so that two of them may bring different versions of what they use. Its code is its
 * author's, and trusted as ours is. Any thread.
 */
final class FunctionJar {
    private FunctionJar() {}

    /**
     * The provider of one kind.
     *
     * @throws IOException there is none, or something is wrong with the jar; the message says what
     */
    static FunctionKind provider(Path jar, String kind) throws IOException {
        if (!Files.exists(jar)) {
            throw new IOException(jar + ": no such file or folder");
        }
        List<String> kinds = new ArrayList<>();
        try {
            for (FunctionKind each : ServiceLoader.load(layer(jar), FunctionKind.class)) {
                if (each.kind().equals(kind)) {
                    return each;
                }
                kinds.add(each.kind());
            }
        } catch (FindException | ResolutionException | LayerInstantiationException e) {
            throw new IOException(jar + " cannot be loaded: " + e.getMessage(), e);
        } catch (ServiceConfigurationError e) {
            throw new IOException(jar + whatIsWrong(e), e);
        } catch (LinkageError e) {
            throw new IOException(jar + " does not fit this Ioasis: " + e, e);
        }
        throw new IOException(
                kinds.isEmpty()
                        ? jar + " provides no " + FunctionKind.class.getName()
                        : "%s has no kind \"%s\"; its kinds are %s"
                                .formatted(jar, kind, String.join(", ", kinds)));
    }

    private static String whatIsWrong(ServiceConfigurationError error) {
        Throwable cause = error.getCause();
        if (cause == null) {
            return ": " + error.getMessage();
        }
        return cause instanceof UnsupportedClassVersionError
                ? " was made for a newer Java: " + cause.getMessage()
                : ": %s: %s".formatted(error.getMessage(), cause);
    }

    private static ModuleLayer layer(Path jar) {
        ModuleLayer ours = ModuleLayer.boot();
        ModuleFinder finder = new Brought(ModuleFinder.of(jar), ours);
        List<String> roots =
                finder.findAll().stream()
                        .map(ModuleReference::descriptor)
                        .map(descriptor -> descriptor.name())
                        .toList();
        Configuration configuration =
                ours.configuration().resolve(finder, ModuleFinder.of(), roots);
        return ours.defineModulesWithOneLoader(configuration, FunctionKind.class.getClassLoader());
    }

    /**
     * What there is but for modules of ours, which Maven copies beside a device with all else that
     * it needs: a device of a second one's {@link FunctionKind} would be none of ours.
     */
    private record Brought(ModuleFinder all, ModuleLayer ours) implements ModuleFinder {
        private boolean isOurs(String name) {
            return name.startsWith("org.ioasis.") && ours.findModule(name).isPresent();
        }

        @Override
        public Optional<ModuleReference> find(String name) {
            return isOurs(name) ? Optional.empty() : all.find(name);
        }

        @Override
        public Set<ModuleReference> findAll() {
            return all.findAll().stream()
                    .filter(found -> !isOurs(found.descriptor().name()))
                    .collect(Collectors.toUnmodifiableSet());
        }
    }
}
