// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ProvisionerTest {
    @TempDir Path folder;
    private HostFixture machine;
    private final Cleanup cleanup = Cleanup.atExit();
    private final List<String> progress = Collections.synchronizedList(new ArrayList<>());

    @BeforeEach
    void makeMachine() throws IOException {
        machine = new HostFixture(folder);
    }

    @AfterEach
    void cleanUp() {
        cleanup.close();
    }

    private GuestKit provide() throws Exception {
        return provideWith(KernelChoice.Debian.STABLE);
    }

    private GuestKit provideWith(KernelChoice kernel) throws Exception {
        return new Provisioner(machine.host(), cleanup, progress::add).provide(kernel);
    }

    private UnavailableException refusal() {
        UnavailableException refusal =
                catchThrowableOfType(UnavailableException.class, this::provide);
        assertThat(refusal).isNotNull();
        assertThat(refusal.exitCode()).isEqualTo(69);
        return refusal;
    }

    private List<String> cacheEntries() throws IOException {
        try (Stream<Path> entries = Files.list(machine.cache())) {
            return entries.map(e -> e.getFileName().toString()).sorted().toList();
        }
    }

    @Test
    void otherArchitectureIsRefused() {
        machine.architecture("aarch64");

        assertThat(refusal()).hasMessageContaining("x86-64").hasMessageContaining("aarch64");
    }

    @Test
    void machineWithoutAptAndQemuIsToldWhatToInstall() throws IOException {
        assertThat(refusal())
                .hasMessageContaining("apt-get is not on the PATH")
                .hasMessageContaining("IOASIS_DEBIAN_MIRROR")
                .hasMessageContaining("qemu-system-x86_64");
        assertThat(cacheEntries()).containsExactly("lock");
    }

    @Test
    void machineWithoutDebianMirrorIsToldHowToNameOne() throws IOException {
        machine.debian().program("apt-get", "echo 'Repo-URI: http://mirror.invalid/ubuntu'");

        assertThat(refusal())
                .hasMessageContaining("names no mirror of Debian")
                .hasMessageContaining("IOASIS_DEBIAN_MIRROR");
    }

    @Test
    void mirrorThatIsNoAddressIsRefused() throws IOException {
        machine.debian().with("IOASIS_DEBIAN_MIRROR", "http://a b] \"");

        assertThat(refusal()).hasMessageContaining("IOASIS_DEBIAN_MIRROR is not");
    }

    @Test
    void mirrorThatDoesNotAnswerIsNamedWithAptsReasonAndWithoutPassword() throws IOException {
        machine.debian()
                .with("IOASIS_DEBIAN_MIRROR", "http://user:secret@mirror.invalid/debian")
                .program("apt-get", "echo 'E: Failed to fetch it'; exit 100");

        assertThat(refusal())
                .hasMessageContaining("E: Failed to fetch it")
                .hasMessageContaining("http://mirror.invalid/debian")
                .message()
                .doesNotContain("secret");
        assertThat(cacheEntries()).containsExactly("lock");
    }

    @Test
    void userWithoutHomeIsToldToNameACache() throws IOException {
        machine.debian().without("IOASIS_CACHE");

        assertThat(refusal()).hasMessageContaining("set IOASIS_CACHE");
    }

    @Test
    void homeThatDoesNotExistIsToldToNameACache() throws IOException {
        Path file = Files.createFile(folder.resolve("file"));
        machine.debian().without("IOASIS_CACHE").with("HOME", file.toString());

        assertThat(refusal()).hasMessageContaining("set IOASIS_CACHE");
    }

    @Test
    void packageThatCannotBeUnpackedLeavesNothing() throws IOException {
        machine.debian().program("dpkg", "echo damaged; exit 2");

        assertThatThrownBy(this::provide)
                .isInstanceOf(IOException.class)
                .hasMessageContaining("dpkg cannot unpack")
                .hasMessageContaining("damaged");
        assertThat(cacheEntries()).containsExactly("lock");
    }

    @Test
    void metaPackageWithAStrangeNameInItIsRefused() throws IOException {
        machine.debian().program("apt-cache", "echo '  Depends: ../../linux'");

        assertThat(refusal()).hasMessageContaining("linux-image-cloud-amd64 depends on nothing");
    }

    @Test
    void downloadedQemuWithoutOurDeviceIsRefused() throws IOException {
        machine.debian();
        HostFixture.executable(
                folder.resolve("bin/unpacked-qemu"), "echo QEMU emulator version 10.0");

        assertThat(refusal()).hasMessageContaining("version 10.0, but 10.1 is needed");
        assertThat(cacheEntries()).containsExactly("kernel", "lock");
    }

    @Test
    void bareMachineGetsEverythingFromDebian() throws Exception {
        machine.debian();

        GuestKit kit = provide();

        assertThat(kit.kernel().release()).isEqualTo("9.9.1");
        assertThat(kit.kernel().image()).exists();
        assertThat(kit.busybox()).isExecutable();
        assertThat(kit.qemu().version()).isEqualTo("11.1.3");
        assertThat(Path.of(kit.qemu().command().getFirst())).exists();
        assertThat(kit.qemu().environment()).containsKey("QEMU_MODULE_DIR");
        assertThat(cacheEntries()).containsExactly("kernel", "lock", "qemu");
        assertThat(Files.readAllLines(machine.cache().resolve("kernel/ioasis-part")))
                .contains(
                        "version=9.9.1",
                        "package.busybox-static=1:2-3",
                        "package.linux-image-9.9.1-cloud-amd64=1:2-3");
        assertThat(progress)
                .contains("downloading qemu-system-x86: 2 packages, 37.9 MB")
                .contains("  package 2 of 2");
    }

    @Test
    void secondRunCallsNothing() throws Exception {
        machine.debian();
        GuestKit first = provide();
        machine.forgetCalls();

        GuestKit second = provide();

        assertThat(second).isEqualTo(first);
        assertThat(machine.calls()).isEmpty();
    }

    @Test
    void qemuOfTheMachineIsUsedAndOnlyTheKernelFetched() throws Exception {
        machine.debian().program("qemu-system-x86_64", HostFixture.qemu("10.1.0"));

        GuestKit kit = provide();

        assertThat(kit.qemu().version()).isEqualTo("10.1.0");
        assertThat(kit.qemu().environment()).isEmpty();
        assertThat(cacheEntries()).containsExactly("kernel", "lock");
        assertThat(machine.calls()).noneMatch(call -> call.contains("install"));
    }

    @Test
    void qemuOfTheMachineThatIsTooOldIsReplacedWithAMessage() throws Exception {
        machine.debian().program("qemu-system-x86_64", HostFixture.qemu("7.2.22"));

        GuestKit kit = provide();

        assertThat(kit.qemu().version()).isEqualTo("11.1.3");
        assertThat(progress).anyMatch(line -> line.contains("7.2.22, but 10.1 is needed"));
    }

    @Test
    void whoBootsNoGuestGetsQemuAlone() throws Exception {
        machine.debian();

        Qemu qemu = new Provisioner(machine.host(), cleanup, progress::add).provideQemu();

        assertThat(qemu.version()).isEqualTo("11.1.3");
        assertThat(cacheEntries()).containsExactly("lock", "qemu");
        assertThat(progress).contains("getting QEMU from Debian into " + machine.cache());
        assertThat(provide().qemu()).isEqualTo(qemu);
    }

    @Test
    void whoBootsNoGuestAndCannotHaveQemuIsToldWhatToInstall() {
        assertThatThrownBy(
                        () -> new Provisioner(machine.host(), cleanup, progress::add).provideQemu())
                .isInstanceOf(UnavailableException.class)
                .hasMessageStartingWith("no QEMU: ")
                .hasMessageContaining("qemu-system-x86_64");
    }

    @Test
    void kernelOfBackportsIsPutTogetherFromItsPiecesBesideTheStableOne() throws Exception {
        machine.debian();

        GuestKit kit = provideWith(KernelChoice.Debian.BACKPORTS);

        assertThat(kit.kernel().release()).isEqualTo("10.0.1");
        assertThat(cacheEntries()).containsExactly("kernel", "kernel-backports", "lock", "qemu");
        assertThat(machine.calls())
                .anyMatch(call ->
                        call.contains(
                                "-t trixie-backports download linux-base-10.0.1-cloud-amd64"
                                        + " linux-binary-10.0.1-cloud-amd64 linux-modules-10.0.1-cloud-amd64"));
        machine.forgetCalls();
        assertThat(provide().kernel().release()).isEqualTo("9.9.1");
        assertThat(machine.calls()).isEmpty();
    }

    @Test
    void kernelForAnyMachineIsAPartOfItsOwn() throws Exception {
        machine.debian();

        GuestKit kit = provideWith(KernelChoice.Debian.GENERIC);

        assertThat(kit.kernel().image()).startsWith(machine.cache().resolve("kernel-generic"));
        assertThat(cacheEntries()).containsExactly("kernel", "kernel-generic", "lock", "qemu");
        assertThat(machine.calls())
                .anyMatch(call -> call.endsWith("download linux-image-9.9.1-amd64"));
    }

    /** Its packages are another architecture's, but for the QEMU, which runs here. */
    @Test
    void armIsPlayedByAQemuOfItsOwnAndNeedsNoOther() throws Exception {
        machine.debian().program("qemu-system-x86_64", HostFixture.qemu("11.2"));

        GuestKit kit = provideWith(KernelChoice.Debian.ARM64);

        assertThat(kit.qemu().command())
                .anyMatch(word -> word.endsWith("/usr/bin/qemu-system-aarch64"));
        assertThat(kit.busybox()).startsWith(machine.cache().resolve("kernel-arm64"));
        assertThat(cacheEntries()).containsExactly("kernel-arm64", "lock", "qemu-arm");
        assertThat(machine.calls())
                .anyMatch(call ->
                        call.endsWith("download linux-image-9.9.1-cloud-arm64 busybox-static"))
                .anyMatch(call -> call.contains("busybox-static_1%3a2-3_arm64.deb"));
        machine.forgetCalls();
        assertThat(provideWith(KernelChoice.Debian.ARM64)).isEqualTo(kit);
        assertThat(machine.calls()).isEmpty();
    }

    /** Of what its packages have besides, 400 MiB, nothing stays. */
    @Test
    void firmwareOfArmIsAPartOfItsOwnOfPackagesThatNeedNoOthers() throws Exception {
        machine.debian();
        Provisioner provisioner = new Provisioner(machine.host(), cleanup, progress::add);

        ArmFirmware firmware = provisioner.provideArmFirmware();

        Path part = machine.cache().resolve("firmware-arm64");
        assertThat(firmware.image()).startsWith(part).isRegularFile();
        assertThat(firmware.modules()).startsWith(part).isDirectory();
        assertThat(part.resolve("usr/share")).isDirectoryNotContaining("glob:**/AAVMF");
        assertThat(cacheEntries()).containsExactly("firmware-arm64", "lock");
        assertThat(machine.calls())
                .anyMatch(call -> call.endsWith("download qemu-efi-aarch64 grub-efi-arm64-bin"))
                .anyMatch(call -> call.contains("grub-efi-arm64-bin_1%3a2-3_arm64.deb"));
        assertThat(progress).contains("EDK2 1:2-3 is ready");
        machine.forgetCalls();
        assertThat(provisioner.provideArmFirmware()).isEqualTo(firmware);
        assertThat(machine.calls()).isEmpty();
    }

    @Test
    void firmwareThatIsNotInItsPackageIsNamedAndNothingIsKept() throws Exception {
        machine.debian().program("dpkg", "exit 0");
        Provisioner provisioner = new Provisioner(machine.host(), cleanup, progress::add);

        assertThatThrownBy(provisioner::provideArmFirmware)
                .isInstanceOf(IOException.class)
                .hasMessage("Debian's packages have no usr/share/qemu-efi-aarch64/QEMU_EFI.fd");
        assertThat(cacheEntries()).containsExactly("lock");
    }

    @Test
    void kernelOfTheUsersIsTakenAsItIs() throws Exception {
        machine.debian();
        Kernel own = new Kernel("1.2.3", folder.resolve("bzImage"), null);

        GuestKit kit = provideWith(new KernelChoice.Own(own));

        assertThat(kit.kernel()).isEqualTo(own);
        assertThat(Files.isExecutable(kit.busybox())).isTrue();
    }

    @Test
    void whatAKilledRunLeftIsRemovedAndAnotherLayoutIsMadeAnew() throws Exception {
        machine.debian();
        Files.createDirectories(machine.cache().resolve(".ioasis-tmp-1/deep/er"));
        Files.createDirectories(machine.cache().resolve("kernel/old"));
        Files.writeString(machine.cache().resolve("kernel/ioasis-part"), "format=0\n");

        provide();

        assertThat(cacheEntries()).containsExactly("kernel", "lock", "qemu");
        assertThat(machine.cache().resolve("kernel/old")).doesNotExist();
    }

    @Test
    void aptIsGivenAPrivateStateTheHostsProxyAndNoneOfItsHooks() throws Exception {
        machine.debian();
        String apt = Files.readString(folder.resolve("bin/apt-get"));
        Path seen = folder.resolve("seen");
        HostFixture.executable(
                folder.resolve("bin/apt-get"),
                "[ \"$2\" != update ] || /bin/cp \"$APT_CONFIG\" '" + seen + "'\n" + apt);

        provide();

        assertThat(Files.readString(seen))
                .contains("Dir::Etc::main \"/dev/null\";")
                .contains("Acquire::http::Proxy \"http://proxy.invalid:3128\";")
                .contains("Dir::State \"" + machine.cache())
                .doesNotContain("Post-Invoke");
    }

    @Test
    void twoRunsAtOnceFetchOnce() throws Exception {
        machine.debian();
        try (ExecutorService pool = Executors.newFixedThreadPool(2)) {
            Future<GuestKit> first = pool.submit(this::provide);
            Future<GuestKit> second = pool.submit(this::provide);

            assertThat(first.get()).isEqualTo(second.get());
        }
        assertThat(machine.calls()).filteredOn(call -> call.contains("update")).hasSize(1);
    }

    @Test
    void runWaitsForAnotherProcessThatFillsTheCacheAndSaysSo() throws Exception {
        machine.debian();
        Path lock = Files.createDirectories(machine.cache()).resolve("lock");
        Process other =
                cleanup.start(
                        new ProcessBuilder(
                                Path.of(System.getProperty("java.home"), "bin/java").toString(),
                                "-cp",
                                Path.of(
                                                ProvisionerTest.class
                                                        .getProtectionDomain()
                                                        .getCodeSource()
                                                        .getLocation()
                                                        .toURI())
                                        .toString(),
                                LockHolder.class.getName(),
                                lock.toString()));
        assertThat(other.getInputStream().read()).isEqualTo('.');
        try (ExecutorService pool = Executors.newFixedThreadPool(1)) {
            Future<GuestKit> run = pool.submit(this::provide);
            while (progress.isEmpty()) {
                Thread.sleep(5);
            }
            assertThat(progress).singleElement().asString().contains("another run is filling");
            assertThat(machine.calls()).isEmpty();

            // The lock ends with its process, however that ends.
            cleanup.kill(other);

            assertThat(run.get().kernel().release()).isEqualTo("9.9.1");
        }
    }

    /** The other process of the last test. */
    static final class LockHolder {
        private LockHolder() {}

        public static void main(String[] arguments) throws Exception {
            try (FileChannel channel =
                    FileChannel.open(
                            Path.of(arguments[0]),
                            StandardOpenOption.CREATE,
                            StandardOpenOption.WRITE)) {
                channel.lock();
                System.out.print('.');
                System.out.flush();
                Thread.sleep(Long.MAX_VALUE);
            }
        }
    }
}
