// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.jar;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.InputStream;
import java.lang.module.ModuleFinder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import org.ioasis.config.AssignedConfig;
import org.ioasis.config.ConfigException;
import org.ioasis.config.ConfigFile;
import org.ioasis.config.FlagConfig;
import org.ioasis.config.ServeConfig;
import org.ioasis.kind.jar.sample.LicensedKind;
import org.ioasis.kind.jar.sample.MemoryKind;
import org.ioasis.kind.jar.sample.NoKind;
import org.ioasis.machine.DeviceOptions;
import org.ioasis.machine.FunctionDevice;
import org.ioasis.machine.FunctionKind;
import org.ioasis.serve.Server;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Devices of somebody else's in a jar: found, served, and what is wrong said in words. */
class JarKindTest {
    private static final String SERVICE = "META-INF/services/" + FunctionKind.class.getName();

    @TempDir private Path folder;

    /** A jar with a class and a provider of that name. */
    private Path jar(Class<?> type) throws IOException {
        return jar(Map.of(path(type), bytes(type), SERVICE, text(type.getName())));
    }

    private Path jar(Map<String, byte[]> content) throws IOException {
        Path file = folder.resolve("devices.jar");
        try (JarOutputStream out = new JarOutputStream(Files.newOutputStream(file))) {
            for (Map.Entry<String, byte[]> entry : new TreeMap<>(content).entrySet()) {
                out.putNextEntry(new JarEntry(entry.getKey()));
                out.write(entry.getValue());
            }
        }
        return file;
    }

    private static String path(Class<?> type) {
        return type.getName().replace('.', '/') + ".class";
    }

    private static byte[] bytes(Class<?> type) throws IOException {
        try (InputStream in = type.getResourceAsStream(type.getSimpleName() + ".class")) {
            if (in == null) {
                throw new IOException(type + " is in no file");
            }
            return in.readAllBytes();
        }
    }

    private static byte[] text(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private ServeConfig flags(String device) throws ConfigException {
        return FlagConfig.iommu(folder.resolve("iommu.sock"))
                .devices(new JarKind(), List.of(folder.resolve("f.sock") + device))
                .resolve();
    }

    private void assertServes(ServeConfig config) throws IOException {
        try (Server server = Server.start(config)) {
            FunctionDevice device =
                    server.machines().getFirst().devices(FunctionDevice.class).getFirst();
            assertThat(device.name()).isEqualTo("device0");
            assertThat(device.function().barSize(2)).isEqualTo(8192);
            assertThat(server.announcement()).anyMatch(line -> line.contains("f.sock"));
        }
    }

    @Test
    void kindOfAJarIsServedByTheOptionAndByTheConfiguration() throws Exception {
        Path jar = jar(MemoryKind.class);
        assertServes(flags(",jar=" + jar + ",kind=memory,options=2"));
        Path file = folder.resolve("serve.toml");
        Files.writeString(
                file,
                """
                [[machine]]
                [[machine.iommu]]
                socket = "iommu.sock"
                device = { socket = "f.sock", jar = "devices.jar", kind = "memory", options = "2" }
                """);
        assertServes(ConfigFile.read(file));
    }

    @Test
    void kindOfAJarIsForProgramsToo() throws Exception {
        String words = ",jar=" + jar(MemoryKind.class) + ",kind=memory,options=2";
        List<DeviceOptions<?>> devices = AssignedConfig.of(List.of("own=device" + words));
        assertThat(devices).hasSize(1);
        assertThat(devices.getFirst().place().name()).isEqualTo("own");
    }

    @Test
    void folderOfJarsIsLookedAtWhole() throws Exception {
        Path jar = jar(MemoryKind.class);
        Files.move(jar, Files.createDirectory(folder.resolve("jars")).resolve("a.jar"));
        assertServes(flags(",jar=" + folder.resolve("jars") + ",kind=memory,options=2"));
    }

    /** As Maven copies what a device needs. */
    @Test
    void modulesOfOursInAFolderOfJarsAreLeftOut() throws Exception {
        Path jars = Files.createDirectory(folder.resolve("jars"));
        Files.move(jar(MemoryKind.class), jars.resolve("a.jar"));
        byte[] manifest =
                text("Manifest-Version: 1.0\nAutomatic-Module-Name: org.ioasis.machine\n\n");
        Path ours =
                jar(
                        Map.of(
                                "META-INF/MANIFEST.MF",
                                manifest,
                                path(FunctionKind.class),
                                bytes(FunctionKind.class)));
        Files.move(ours, jars.resolve("b.jar"));
        assertThat(ModuleFinder.of(jars).find("org.ioasis.machine")).isPresent();
        assertServes(flags(",jar=" + jars + ",kind=memory,options=2"));
    }

    @Test
    void providerIsOfTheJarAndOfALayerOfItsOwn() throws IOException {
        FunctionKind found = FunctionJar.provider(jar(MemoryKind.class), "memory");
        assertThat(found.getClass()).isNotEqualTo(MemoryKind.class);
        assertThat(found.getClass().getModule().getName()).isEqualTo("devices");
    }

    @Test
    void whatTheProviderSaysIsWhyNothingIsServed() throws Exception {
        Path jar = jar(MemoryKind.class);
        ServeConfig config = flags(",jar=" + jar + ",kind=memory");
        assertThatThrownBy(() -> Server.start(config))
                .hasMessageStartingWith("device \"")
                .hasMessageEndingWith(
                        ", kind \"memory\" of %s: \"\" is no number of pages".formatted(jar));
        assertThat(folder.resolve("iommu.sock")).doesNotExist();
        assertThat(folder.resolve("f.sock")).doesNotExist();
    }

    private void assertRefused(Path jar, String why) {
        assertThatThrownBy(() -> flags(",jar=" + jar + ",kind=memory"))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining(why);
    }

    @Test
    void jarThatDoesNotDoIsRefusedInWordsBeforeAnythingIsMade() throws Exception {
        Path missing = folder.resolve("no.jar");
        assertRefused(missing, missing + ": no such file or folder");
        Path text = Files.writeString(folder.resolve("text.txt"), "no jar");
        assertRefused(text, text + " cannot be loaded: Module format not recognized");
        Path empty = jar(Map.of("a", new byte[1]));
        assertRefused(empty, empty + " provides no org.ioasis.machine.FunctionKind");
        Path wrong = jar(NoKind.class);
        assertRefused(wrong, "NoKind not a subtype");
        Path gone = jar(Map.of(path(NoKind.class), bytes(NoKind.class), SERVICE, text("a.b.C")));
        assertRefused(gone, gone + " cannot be loaded: ");
        byte[] later = bytes(MemoryKind.class);
        later[7] = 99;
        Path newer =
                jar(
                        Map.of(
                                path(MemoryKind.class),
                                later,
                                SERVICE,
                                text(MemoryKind.class.getName())));
        assertRefused(newer, newer + " was made for a newer Java: ");
        assertThat(folder.resolve("iommu.sock")).doesNotExist();
    }

    @Test
    void whyAProviderCannotBeMadeIsSaid() throws Exception {
        assertRefused(
                jar(LicensedKind.class),
                "LicensedKind could not be instantiated: java.io.IOException: no licence");
    }

    @Test
    void kindThatIsNotThereIsRefusedWithThoseThatAre() throws Exception {
        Path jar = jar(MemoryKind.class);
        assertThatThrownBy(() -> flags(",jar=" + jar + ",kind=disk"))
                .hasMessageContaining(jar + " has no kind \"disk\"; its kinds are memory");
        assertThatThrownBy(() -> flags(",jar=" + jar)).hasMessageContaining("kind is needed");
        assertThatThrownBy(() -> flags(",kind=memory")).hasMessageContaining("needs jar=");
    }
}
