from zoo_server import ZooServer

class MyServer(ZooServer):
    def get_children(self, path):
        # …
        pass
    def create(self, path, data):
        pass
    def delete(self, path):
        pass
    def set_data(self, path, data):
        pass
    def get_data(self, path):
        pass

if __name__ == '__main__':
    server = MyServer()
    server.start()
